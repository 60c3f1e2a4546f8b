"""What was taken for what: the confusion matrix of a detector, by YOLO's rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synet.detections.detections import Detections, overlaps
from synet.detections.matching import match

CONFIDENCE, LEAST_IOU = 0.25, 0.45  # YOLO's own


def confusion_matrix(
    labels: Sequence[Detections],
    found: Sequence[Detections],
    classes: int,
    confidence: float = CONFIDENCE,
    iou: float = LEAST_IOU,
) -> np.ndarray:
    """Count what was found as what.

    Boxes are matched whatever their class: the highest score first, each with the label that it
    overlaps most, if nothing has it yet. That is the rule of ultralytics.

    Parameters
    ----------
    labels, found
        What is there and what was found, image by image.
    classes
        How many classes there are.
    confidence
        What was found with this confidence or a lower one does not count.
    iou
        The least overlap of a match.

    Returns
    -------
    int64 ``(classes + 1, classes + 1)``: a row for what it was found as, a column for what it is.
    The last row counts labels that nothing matched, the last column false alarms.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for there, hits in zip(labels, found, strict=True):
        hits = hits[hits.scores > confidence]
        row, column = match(overlaps(hits.boxes, there.boxes), hits.scores, iou)
        np.add.at(matrix, (hits.classes[row], there.classes[column]), 1)
        np.add.at(matrix, (np.delete(hits.classes, row), classes), 1)
        np.add.at(matrix, (classes, np.delete(there.classes, column)), 1)
    return matrix
