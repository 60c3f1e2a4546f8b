"""Classes that a YOLO's summary of a model calls what the user called them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# What the row that a builder is at calls its layer; empty elsewhere.
_written: ContextVar[Callable[[], str]] = ContextVar("written", default=str)


class Named(type):
    """The type of our layers: YOLOs print ``str(cls)[8:-2]`` as the kind of a row's layer."""

    def __repr__(cls) -> str:
        if not cls.__module__.startswith("synet."):
            return super().__repr__()
        return f"<class '{_written.get()() or cls.__name__}'>"


@contextmanager
def written_as(name: Callable[[], str]) -> Iterator[None]:
    """Have our classes called `name`, asked each time, while a builder goes through its rows."""
    token = _written.set(name)
    try:
        yield
    finally:
        _written.reset(token)
