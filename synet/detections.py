"""What a detector found in one image, and how raw network rows become that."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

MAX_CANDIDATES = 30_000  # rows that enter non-maximum suppression, the highest scores first


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes with a score and a class each.

    Attributes
    ----------
    boxes
        float32 ``(N, 4)``: x1, y1, x2, y2 in pixels.
    scores
        float32 ``(N,)``, 0-1. Labels that a person drew have the score 1.
    classes
        int32 ``(N,)``: class ids, from 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (("boxes", np.float32), ("scores", np.float32), ("classes", np.int32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        count = len(self.boxes)
        shapes = self.boxes.shape, self.scores.shape, self.classes.shape
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"expected shapes (N, 4), (N,), (N,), found {shapes}")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: np.ndarray | slice) -> Detections:
        """The detections at a mask, a slice or an array of positions."""
        return Detections(self.boxes[index], self.scores[index], self.classes[index])


def select(
    boxes: np.ndarray,
    scores: np.ndarray,
    confidence: float,
    iou: float,
    max_detections: int = 300,
) -> Detections:
    """Keep the best boxes of each class: a score threshold, then non-maximum suppression.

    A row may yield a detection for several classes, and classes do not suppress one another: the
    rule that YOLOv5 validates with.

    Parameters
    ----------
    boxes
        ``(R, 4)`` xyxy in pixels.
    scores
        ``(R, classes)``, 0-1.
    confidence
        Scores at or below this are dropped.
    iou
        A box that overlaps a better one of its class by more than this is dropped.
    max_detections
        The most that are returned.

    Returns
    -------
    Detections, the highest score first.
    """
    boxes = np.asarray(boxes, np.float32)
    has_area = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    rows, classes = np.nonzero((scores > confidence) & has_area[:, None])
    order = np.argsort(-scores[rows, classes], kind="stable")[:MAX_CANDIDATES]
    rows, classes = rows[order], classes[order]
    found = Detections(boxes[rows], scores[rows, classes], classes)

    # What is kept of the first candidates does not depend on those that follow, so the few
    # hundred wanted are nearly always settled without comparing all.
    count = 10 * max_detections
    kept = _suppress(found[:count], iou)
    if len(kept) < max_detections and len(found) > count:
        kept = _suppress(found, iou)
    return found[kept[:max_detections]]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of `a` ``(N, 4)`` with each of `b` ``(M, 4)``: (N, M)."""
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (corners[1] - corners[0]).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _suppress(candidates: Detections, iou: float) -> np.ndarray:
    if not len(candidates):
        return np.zeros(0, np.int64)
    # OpenCV tells classes apart by shifting each beyond the largest coordinate of the one
    # before, which takes coordinates that are not negative.
    corners = candidates.boxes.astype(np.float64)
    corners -= corners.min()
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(xywh, candidates.scores, candidates.classes, 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)
