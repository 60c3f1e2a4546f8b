"""Classes that a YOLO's summary of a model calls what the user called them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# What the row that a builder is at calls its layer; empty elsewhere.
_written: ContextVar[Callable[[], str]] = ContextVar("written", default=str)

# Classes that one of ours has taken the place of in this process.
_displaced: dict[type, tuple[type, ...]] = {}


class Named(type):
    """The type of our layers: YOLOs print ``str(cls)[8:-2]`` as the kind of a row's layer."""

    def __repr__(cls) -> str:
        if not cls.__module__.startswith("synet."):
            return super().__repr__()
        return f"<class '{_written.get()() or cls.__name__}'>"

    def __instancecheck__(cls, instance: Any) -> bool:
        """Also of a class whose place ours has taken: a fork asks by the name that we have now."""
        return super().__instancecheck__(instance) or isinstance(instance, _displaced.get(cls, ()))

    def stands_for(cls, old: type) -> Callable[[], None]:
        """Take instances of `old` for those of this class, until what is returned is called."""
        _displaced[cls] = (*_displaced.get(cls, ()), old)

        def undo() -> None:
            _displaced[cls] = tuple(each for each in _displaced[cls] if each is not old)

        return undo


@contextmanager
def written_as(name: Callable[[], str]) -> Iterator[None]:
    """Have our classes called `name`, asked each time, while a builder goes through its rows."""
    token = _written.set(name)
    try:
        yield
    finally:
        _written.reset(token)
