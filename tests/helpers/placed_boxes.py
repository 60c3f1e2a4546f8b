"""Boxes of an image in the input of a network."""

from __future__ import annotations

import numpy as np

from synet.data.images import Placement


def in_input(placement: Placement, boxes: np.ndarray) -> np.ndarray:
    """Boxes ``(N, 4)`` from image pixels to input pixels: the way there of `to_image`."""
    offset = [placement.left, placement.top] * 2
    return np.asarray(boxes, np.float32) * placement.scale + offset
