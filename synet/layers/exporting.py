"""Whether a forward pass is one that is exported, as layers and lowerings ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_local = threading.local()


def exporting() -> bool:
    """Is this thread inside ``with askeras(...)``?"""
    return current() is not None


def current() -> Any:
    """This thread's context, if any: a `synet.export.context.Context`."""
    return getattr(_local, "context", None)


def softmax_rows() -> int | None:
    """How many rows go through one SOFTMAX in an export; None outside of one."""
    context = current()
    return None if context is None else context.spelling.softmax_rows


def become_current(context: Any) -> None:
    """Let `context` be this thread's; None ends it."""
    _local.context = context


@contextmanager
def lowering_in(context: Any) -> Iterator[None]:
    """Let `context` be this thread's for a while."""
    before = current()
    become_current(context)
    try:
        yield
    finally:
        become_current(before)
