"""The text of a model yaml of a YOLO, of a few rows."""

from __future__ import annotations

ANCHORS = ("[10, 13, 16, 30, 33, 23]", "[30, 61, 62, 45, 59, 119]")
# To be filled by `str.format`.
TWO_ROWS = """\
nc: 2
ch: 1
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30], [30, 61, 62, 45]]
{more}
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - {row}
head:
  - [[0, 1], 1, Detect, {head}]
"""


def model_yaml(
    backbone: str,
    head: str,
    about: str = "",
    multiples: tuple[float, float] = (1.0, 1.0),
    anchors: tuple[str, ...] = ANCHORS,
) -> str:
    """A model of two classes and gray images.

    Parameters
    ----------
    backbone, head
        Their rows, a line each.
    about
        What stands above: lines of other keys.
    multiples
        Of depth and width.
    anchors
        Of each level.
    """
    depth, width = multiples
    rows = {"anchors": anchors, "backbone": _lines(backbone), "head": _lines(head)}
    lists = "".join(
        f"{key}:\n" + "".join(f"  - {row}\n" for row in each) for key, each in rows.items()
    )
    numbers = f"nc: 2\nch: 1\ndepth_multiple: {depth}\nwidth_multiple: {width}\n"
    return f"{about}{numbers}{lists}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]
