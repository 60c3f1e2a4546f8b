"""What was found and what is there, matched: precision of each class, and its curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from synet.detections.detections import Detections
from synet.evaluation.coco_matching import coco_evaluation, precision_of
from synet.evaluation.curves import Curve, Matches, matches_of


def average_precision(
    labels: Sequence[Detections], found: Sequence[Detections], classes: Iterable[int]
) -> np.ndarray:
    """Average precision of each class, at IoU 0.50 and over IoU 0.50 to 0.95."""
    classes = [int(each) for each in classes]
    return precision_of(coco_evaluation(labels, found, classes), classes)


def matches(
    labels: Sequence[Detections],
    found: Sequence[Detections],
    classes: Iterable[int],
    iou: float = 0.5,
) -> dict[int, Matches]:
    """What was found of each class, matched at one overlap."""
    return matches_of(coco_evaluation(labels, found, classes, [iou]))


def curves(
    labels: Sequence[Detections],
    found: Sequence[Detections],
    classes: Iterable[int],
    iou: float = 0.5,
) -> dict[int, Curve]:
    """The curve of each class."""
    return {key: each.curve for key, each in matches(labels, found, classes, iou).items()}
