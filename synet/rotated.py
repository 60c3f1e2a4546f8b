"""Rotated boxes of an exported model: the last step, which is left to the application.

A chip has no sine. So a model of rotated boxes tells, of each row, how far the four sides lie from
the centre of the row's cell, along the box's own axes, and the angle. This is what turns them into
a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def cell_centres(image_shape: tuple[int, int], strides: Sequence[float]) -> np.ndarray:
    """x and y in pixels of the centre of the cell of each row: (R, 2).

    Parameters
    ----------
    image_shape
        Height and width in pixels.
    strides
        Pixels a cell of each level, in the model's order; ``strides`` of a file's metadata.

    Examples
    --------
    >>> from synet.rotated import cell_centres
    >>> cell_centres((32, 64), [32]).tolist()
    [[16.0, 16.0], [48.0, 16.0]]
    """
    levels = []
    for stride in strides:
        height, width = (math.ceil(side / stride) for side in image_shape)
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        levels.append((np.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride)
    return np.concatenate(levels).astype(np.float32)


def rotated_boxes(sides: np.ndarray, angle: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Centre x, centre y, width, height in pixels and angle in radians: (R, 5).

    Parameters
    ----------
    sides
        (R, 4): distances of left, top, right and bottom from the centre of the cell, in pixels.
    angle
        (R, 1), radians, clockwise in the image.
    centres
        As `cell_centres` gives them.

    Examples
    --------
    >>> import numpy as np
    >>> from synet.rotated import cell_centres, rotated_boxes
    >>> sides, angle = np.array([[4.0, 2.0, 6.0, 2.0]]), np.array([[0.0]])
    >>> rotated_boxes(sides, angle, cell_centres((32, 32), [32])).tolist()
    [[17.0, 16.0, 10.0, 4.0, 0.0]]
    """
    near, far = sides[:, :2], sides[:, 2:]
    x, y = ((far - near) / 2).T
    cos, sin = np.cos(angle[:, 0]), np.sin(angle[:, 0])
    shift = np.stack((x * cos - y * sin, x * sin + y * cos), 1)
    return np.concatenate((centres + shift, near + far, angle), 1)


def enclosing_boxes(boxes: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2 around rotated boxes (R, 5), as `rotated_boxes` gives them: (R, 4).

    Examples
    --------
    >>> import numpy as np
    >>> from synet.rotated import enclosing_boxes
    >>> enclosing_boxes(np.array([[16.0, 16.0, 8.0, 4.0, 0.0]])).tolist()
    [[12.0, 14.0, 20.0, 18.0]]
    """
    cos, sin = np.abs(np.cos(boxes[:, 4:])), np.abs(np.sin(boxes[:, 4:]))
    half = (boxes[:, 2:4] * cos + boxes[:, 3:1:-1] * sin) / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), 1)


def rotated_corners(boxes: np.ndarray) -> np.ndarray:
    """Corners of rotated boxes (N, 5), as `rotated_boxes` gives them, in turn: (N, 4, 2).

    Examples
    --------
    >>> import numpy as np
    >>> from synet.rotated import rotated_corners
    >>> rotated_corners(np.array([[16.0, 16.0, 8.0, 4.0, 0.0]])).tolist()
    [[[12.0, 14.0], [20.0, 14.0], [20.0, 18.0], [12.0, 18.0]]]
    """
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = boxes[:, 2:3] / 2 * np.stack((cos, sin), 1)
    across = boxes[:, 3:4] / 2 * np.stack((-sin, cos), 1)
    corners = (-along - across, along - across, along + across, -along + across)
    return boxes[:, None, :2] + np.stack(corners, 1)
