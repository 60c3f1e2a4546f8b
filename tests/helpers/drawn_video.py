"""Videos of a few plain frames."""

from __future__ import annotations

import numpy as np

from synet.data.videos import video_writer

LEVELS = [40, 90, 140, 190]


def write(path, levels=LEVELS, shape=(48, 64), speed=10.0):
    """One frame a level, grey but for its red left half."""
    with video_writer(path, speed) as add:
        for level in levels:
            frame = np.full((*shape, 3), level, np.uint8)
            frame[:, : shape[1] // 2] = (220, 20, 20)
            add(frame)
    return path
