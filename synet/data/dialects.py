"""What each line of YOLOs takes for an image and for a label; the two differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np


class Lone(Enum):
    """How a box is read in a file that has polygons, too."""

    BOX = "as it is"
    CORNERS = "as two corners of a polygon"
    REFUSED = "not at all"


@dataclass(frozen=True)
class Dialect:
    """What a line of YOLOs accepts; it leaves out the images of which it accepts not all.

    Attributes
    ----------
    name
        Of the package.
    suffixes
        Of image files; it does not see others.
    formats
        Of what is in them, in Pillow's words.
    lowest, highest
        Where centres and keypoints may lie, as fractions of the image; also the largest size.
    unsaid
        Whether labels may have keypoints of which the data yaml says nothing, as in some forks.
    seen
        The highest number that says how well a keypoint is seen.
    lone
        How a box is read in a file of polygons.
    by_box
        Whether polygons around which there is the same box are one.
    encoding
        Of label files.
    """

    name: str
    suffixes: frozenset[str]
    formats: frozenset[str]
    lowest: float
    highest: float
    unsaid: bool
    seen: float
    lone: Lone
    by_box: bool
    encoding: str


def _dialect(name: str, kinds: str, more_formats: str = "", **rules: Any) -> Dialect:
    suffixes = frozenset(f".{kind}" for kind in kinds.split())
    return Dialect(name, suffixes, frozenset(f"{kinds} {more_formats}".split()), **rules)


ULTRALYTICS = _dialect(
    "ultralytics",
    "avif bmp dng heic heif jp2 jpeg jpg mpo png tif tiff webp",
    "jpeg2000",
    lowest=float(np.float32(-0.01)),  # both are compared as float32
    highest=float(np.float32(1.01)),
    unsaid=False,
    seen=math.inf,
    lone=Lone.REFUSED,
    by_box=False,
    encoding="utf-8-sig",
)
YOLOV5 = _dialect(
    "yolov5",
    "bmp dng jpeg jpg mpo png tif tiff webp pfm",
    lowest=0.0,
    highest=1.0,
    unsaid=True,
    seen=math.inf,
    lone=Lone.CORNERS,
    by_box=True,
    encoding="utf-8",
)
# Where no model says whose data it is: whatever one of them takes.
EITHER = replace(
    ULTRALYTICS,
    name="YOLO",
    suffixes=ULTRALYTICS.suffixes | YOLOV5.suffixes,
    formats=ULTRALYTICS.formats | YOLOV5.formats,
    unsaid=True,
    seen=2,
    lone=Lone.BOX,
)
DIALECTS = {each.name: each for each in (ULTRALYTICS, YOLOV5)}
