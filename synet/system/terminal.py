"""Where tables and progress bars are drawn: what is in them is text, and no orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from synet.system.text import printable_lines

WIDEST = 1 << 16  # columns, of what is measured as if there were room
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def silenced() -> Iterator[None]:
    """Let terminals that are opened meanwhile show nothing."""
    before = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(before)


class Terminal(Console):
    """A console of rich's that takes no text for markup or emoji, and lets nothing else through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, quiet=_SILENT.get(), **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: D102
        return super().render_str(printable_lines(text), **options)

    def render(  # noqa: D102
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # orders that rich gives itself, such as to move up, are marked as such
            yield (
                segment if segment.control else segment._replace(text=printable_lines(segment.text))
            )


class NameTable(Table):
    """A table that never cuts a name: where there is no room it leaves out columns, and says so.

    Parameters
    ----------
    headings
        Of the first columns.
    spare
        Headings of the columns that may go, the first to go first.
    wrapped
        Headings of the columns that hold words, which may stand in several lines.
    options
        Of rich's table.
    """

    def __init__(
        self,
        *headings: str,
        spare: Sequence[str] = (),
        wrapped: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*headings, **options)
        self._spare, self._wrapped = spare, wrapped

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, left_out = self._fitted(console, options)
        room = max(options.max_width, _width(table, console, options, "minimum"))
        wide = options.update(width=room, max_width=room)
        lines = min(room, _width(table, console, wide, "maximum"))
        yield from _annotation(self.title, "table.title", console, options, lines)
        yield from Table.__rich_console__(table, console, wide)
        no_room = f"no room for: {', '.join(left_out)}" if left_out else ""
        caption = "\n".join(filter(None, (str(self.caption or ""), no_room)))
        yield from _annotation(caption, "table.caption", console, options, lines)

    def _fitted(self, console: Console, options: ConsoleOptions) -> tuple[Table, list[str]]:
        """The table of as many columns as there is room for, and the headings of the others."""
        for gone in range(len(self._spare) + 1):
            left_out = self._spare[:gone]
            kept = [each for each in self.columns if str(each.header) not in left_out]
            table = copy(self)
            table.title = table.caption = None
            table.columns = [
                replace(each, _index=number, **self._bounds(each, console, options))
                for number, each in enumerate(kept)
            ]
            if _width(table, console, options, "minimum") <= options.max_width:
                break
        return table, [" ".join(heading.split()) for heading in left_out]

    def _bounds(self, column: Column, console: Console, options: ConsoleOptions) -> dict[str, Any]:
        """Columns of names are as wide as the longest name, those of words as the longest word."""
        is_wrapped = str(column.header) in self._wrapped
        cells = [*column.cells, *([column.header] if self.show_header else [])]
        if self.show_footer:
            cells.append(column.footer)
        sizes = [Measurement.get(console, options.update(width=WIDEST), cell) for cell in cells]
        widest = max((each.minimum if is_wrapped else each.maximum for each in sizes), default=1)
        return {"no_wrap": not is_wrapped, "min_width": column.width or widest}


def _width(table: Table, console: Console, options: ConsoleOptions, kind: str) -> int:
    measured = Table.__rich_measure__(table, console, options.update(width=WIDEST))
    return getattr(measured, kind)


def _annotation(
    words: Any, style: str, console: Console, options: ConsoleOptions, width: int
) -> RenderResult:
    """A title or a caption, as wide as the table, or as its longest word."""
    if not words:
        return
    text = (
        console.render_str(words, style=style, highlight=False) if isinstance(words, str) else words
    )
    width = max(width, Measurement.get(console, options.update(width=WIDEST), text).minimum)
    yield from console.render(text, options.update(width=width, justify="center"))
