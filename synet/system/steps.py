"""What is being done at the moment, for those who wait for it.

Whoever takes long says `step` before each thing that does, and goes through many things by
`counted`. A command shows that by `telling`, on a line of the terminal that goes when it is done;
in the log they are records of the level DEBUG. Who draws a progress bar of its own takes the line
away meanwhile, `giving_way`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, TextIO, TypeVar

from synet.system.streams import user_stream

if TYPE_CHECKING:
    from rich.status import Status

LOGGER = logging.getLogger("synet")
REFRESH = 0.1  # seconds between two counts that are shown
T = TypeVar("T")
Show = Callable[[str], None]
_SHOW: ContextVar[Show | None] = ContextVar("show", default=None)
_LINE: ContextVar[Status | None] = ContextVar("line", default=None)


@contextmanager
def telling(first: str) -> Iterator[None]:
    """Show the steps of the block on standard error, where that is a terminal.

    Parameters
    ----------
    first
        The step that begins at once.
    """
    from rich.text import Text

    from synet.system.terminal import Terminal

    with user_stream() as stream:
        terminal = Terminal(file=stream)
        line = terminal.status("") if terminal.is_terminal else None
        with line or nullcontext():
            before = _SHOW.set(lambda text: line and line.update(Text(text)))
            outer = _LINE.set(line)
            try:
                step(first)
                yield
            finally:
                _LINE.reset(outer)
                _SHOW.reset(before)


@contextmanager
def giving_way() -> Iterator[None]:
    """Take the line away, and its thread, while the block shows something else there."""
    line = _LINE.get()
    if line is None:
        yield
        return
    line.stop()
    try:
        yield
    finally:
        line.start()


def step(text: str) -> None:
    """Say what begins now."""
    LOGGER.debug("%s", text)
    _show(text)


def counted(
    items: Iterable[T],
    text: str,
    total: int,
    progress: bool = True,
    stream: TextIO | None = None,
) -> Iterator[T]:
    """Go through `items`, and show how many are done.

    Parameters
    ----------
    text
        What is done with them.
    total
        How many there are.
    progress
        Whether to show a bar where nobody is `telling`.
    stream
        To show it on. Default: standard error.
    """
    if _SHOW.get() is None and progress:
        from rich.progress import track

        from synet.system.terminal import Terminal

        console = Terminal(file=stream, stderr=stream is None)
        yield from track(items, text, total, console=console, transient=True)
        return
    step(text)
    shown = monotonic()
    for done, item in enumerate(items):
        if monotonic() - shown > REFRESH:
            shown = monotonic()
            _show(f"{text}: {done} of {total}")
        yield item


def _show(text: str) -> None:
    show = _SHOW.get()
    if show is not None:
        show(text)
