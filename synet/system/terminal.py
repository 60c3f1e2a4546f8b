"""Where tables and progress bars are drawn: what is in them is text, and no orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from synet.system.text import printable_lines


class Terminal(Console):
    """A console of rich's that takes no text for markup or emoji, and lets nothing else through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

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
