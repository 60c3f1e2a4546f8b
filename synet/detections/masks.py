"""Masks of an exported model: the last step, which is left to the application.

The model tells prototypes, once for the image, and coefficients for each row. A mask is where their
sum of products is positive, which is where its logistic function exceeds a half.
"""

from __future__ import annotations

import cv2
import numpy as np

from synet.data.images import Placement


def draw_masks(
    coefficients: np.ndarray, prototypes: np.ndarray, boxes: np.ndarray, placement: Placement
) -> np.ndarray:
    """Masks at the image's own resolution, each within its box.

    Parameters
    ----------
    coefficients
        ``(N, M)``.
    prototypes
        ``(h, w, M)``, which cover the whole of a network's input.
    boxes
        ``(N, 4)``, x1, y1, x2, y2 in image pixels.
    placement
        Where the image lies in that input.

    Returns
    -------
    bool ``(N, H, W)``.
    """
    height, width = placement.image_shape
    masks = np.zeros((len(boxes), height, width), bool)
    # Both x and y of a pixel's middle in the image, as a linear function of that in the prototypes.
    cells = np.divide(prototypes.shape[:2], placement.input_shape)[::-1]
    gain = placement.scale * cells
    offset = (np.array([placement.left, placement.top]) + placement.scale / 2) * cells - 0.5
    for mask, own, box in zip(masks, coefficients, boxes, strict=True):
        logits = np.ascontiguousarray(prototypes @ own, np.float32)
        x1, y1 = np.floor(box[:2]).astype(int)
        x2, y2 = np.minimum(np.ceil(box[2:]).astype(int), (width, height))
        if x2 <= x1 or y2 <= y1:
            continue
        start = offset + gain * (x1, y1)
        to_cells = np.array([[gain[0], 0, start[0]], [0, gain[1], start[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(
            logits, to_cells, (x2 - x1, y2 - y1), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        mask[y1:y2, x1:x2] = drawn > 0
    return masks
