"""The families of forks that are looked for, in this order: the first that fits is it."""

from __future__ import annotations

from synet.patches import ultralytics, yolov5

FAMILIES = (ultralytics.FAMILY, yolov5.FAMILY)
