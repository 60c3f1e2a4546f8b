"""From what a network told of its input to objects in the image."""

from __future__ import annotations

import numpy as np

from synet.data.images import Placement
from synet.detections.detections import Detections, best_rows
from synet.detections.masks import draw_masks
from synet.rotated import enclosing_boxes


def decode(
    outputs: dict[str, np.ndarray],
    placement: Placement,
    confidence: float,
    iou: float,
    *,
    masks: bool = False,
    max_detections: int = 300,
) -> Detections:
    """Objects in an image, from what a network told of it.

    Parameters
    ----------
    outputs
        As `Predictor.outputs` gives them.
    placement
        Where the image lies in the input.
    confidence, iou, max_detections
        As for `synet.detections.detections.best_rows`.
    masks
        Whether to draw masks, where the task has them: each is as large as the image.

    Returns
    -------
    Detections in its own pixels, the highest score first.
    """
    rotated = outputs.get("rotated")
    boxes = rotated
    if rotated is None:
        boxes = np.concatenate([outputs["x1y1"], outputs["x2y2"]], axis=1)
    rows, classes = best_rows(boxes, outputs["scores"], confidence, iou, max_detections)
    boxes = boxes[rows]
    found: dict[str, np.ndarray] = {}
    if rotated is not None:
        centres, sizes = placement.points_to_image(boxes[:, :2]), boxes[:, 2:4] / placement.scale
        found["rotated"] = np.concatenate([centres, sizes, boxes[:, 4:]], axis=1)
        boxes = enclosing_boxes(boxes)
    if "keypoints" in outputs:
        points = placement.points_to_image(outputs["keypoints"][rows])
        presence = outputs["presence"][rows] if "presence" in outputs else np.ones(points.shape[:2])
        found["keypoints"] = np.concatenate([points, presence[..., None]], axis=2)
    boxes = placement.to_image(boxes)
    if masks and "prototypes" in outputs:
        found["masks"] = draw_masks(
            outputs["coefficients"][rows], outputs["prototypes"], boxes, placement
        )
    return Detections(boxes, outputs["scores"][rows, classes], classes, **found)
