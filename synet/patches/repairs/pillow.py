"""What Pillow has removed since old code was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synet.patches.repairs.repair import LibraryRepair, is_missing

if TYPE_CHECKING:
    from synet.patches.undo import Applied


def _fonts_without_getsize() -> list[type]:
    if is_missing("PIL"):
        return []
    from PIL import ImageFont

    fonts = (ImageFont.ImageFont, ImageFont.FreeTypeFont)
    return [font for font in fonts if not hasattr(font, "getsize")]


def _getsize(
    self: Any,
    text: str,
    direction: str | None = None,
    features: list[str] | None = None,
    language: str | None = None,
    stroke_width: float = 0,
) -> tuple[int, int]:
    """Width of the ink, and height from the top of the line, as Pillow < 10 gave them."""
    options = {
        "direction": direction,
        "features": features,
        "language": language,
        "stroke_width": stroke_width,
    }
    left, _, right, bottom = self.getbbox(text, **{k: v for k, v in options.items() if v})
    return int(right - left), int(bottom)


def _add_getsize(applied: Applied) -> None:
    for font in _fonts_without_getsize():
        applied.bind(font, "getsize", _getsize)


PILLOW_REPAIRS = (
    LibraryRepair(
        name="pillow_getsize",
        error="AttributeError: 'FreeTypeFont' object has no attribute 'getsize'",
        since="Pillow 10",
        needed=lambda: bool(_fonts_without_getsize()),
        apply=_add_getsize,
    ),
)
