"""What a detector found in one image, and how raw network rows become that."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synet.rotated import enclosing_boxes, rotated_corners

SHOWN_CONFIDENCE, NMS_IOU = 0.25, 0.45  # of boxes that are drawn, YOLO's own
MAX_CANDIDATES = 30_000  # rows that enter non-maximum suppression, the highest scores first

KINDS = {  # of the fields of Detections, in their order
    "boxes": np.float32,
    "scores": np.float32,
    "classes": np.int32,
    "keypoints": np.float32,
    "masks": np.bool_,
    "rotated": np.float32,
}


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes with a score and a class each, and what else a task tells of each.

    Attributes
    ----------
    boxes
        float32 ``(N, 4)``: x1, y1, x2, y2 in pixels; of a rotated box, those around it.
    scores
        float32 ``(N,)``, 0-1. Labels that a person drew have the score 1.
    classes
        int32 ``(N,)``: class ids, from 0.
    keypoints
        float32 ``(N, K, 3)``: x and y in pixels, and presence, 0-1; None where none are told.
    masks
        bool ``(N, H, W)``, of the image; None where none are told, or nobody asked for them.
    rotated
        float32 ``(N, 5)``: centre x, centre y, width, height in pixels, and the angle in radians,
        clockwise in the image; None where boxes are upright.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    keypoints: np.ndarray | None = None
    masks: np.ndarray | None = None
    rotated: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        count = len(self.boxes)
        shapes = self.boxes.shape, self.scores.shape, self.classes.shape
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"expected shapes (N, 4), (N,), (N,), found {shapes}")
        forms = {"keypoints": (count, None, 3), "masks": (count, None, None), "rotated": (count, 5)}
        for name, form in forms.items():
            values = getattr(self, name)
            if values is not None and not _fits(values.shape, form):
                shape = ", ".join("any" if side is None else str(side) for side in form)
                raise ValueError(f"{name}: expected shape ({shape}), found {values.shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: np.ndarray | slice) -> Detections:
        """The detections at a mask, a slice or an array of positions."""
        values = [getattr(self, name) for name in KINDS]
        return Detections(*(each if each is None else each[index] for each in values))


def _fits(shape: tuple[int, ...], form: tuple[int | None, ...]) -> bool:
    """Is `shape` of the `form`, in which None stands for any number?"""
    return len(shape) == len(form) and all(
        wanted in (None, side) for side, wanted in zip(shape, form, strict=True)
    )


def best_rows(
    boxes: np.ndarray,
    scores: np.ndarray,
    confidence: float,
    iou: float,
    max_detections: int = 300,
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows to keep, and for which class: a score threshold, then non-maximum suppression.

    A row may yield a detection for several classes, and classes do not suppress one another: the
    rule that YOLOv5 validates with.

    Parameters
    ----------
    boxes
        ``(R, 4)`` xyxy in pixels; or ``(R, 5)`` rotated ones, as `Detections` has them, which
        suppress one another by the overlap of what they enclose themselves.
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
    Rows and class ids, int64 ``(N,)`` each, the highest score first.
    """
    boxes = np.asarray(boxes, np.float32)
    sizes = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
    has_area = np.isfinite(boxes).all(axis=1) & (sizes > 0).all(axis=1)
    rows, classes = np.nonzero((scores > confidence) & has_area[:, None])
    order = np.argsort(-scores[rows, classes], kind="stable")[:MAX_CANDIDATES]
    rows, classes = rows[order], classes[order]
    candidates = boxes[rows], scores[rows, classes].astype(np.float32), classes

    # What is kept of the first candidates does not depend on those that follow, so the few
    # hundred wanted are nearly always settled without comparing all.
    count = 10 * max_detections
    kept = _suppress(*(each[:count] for each in candidates), iou)
    if len(kept) < max_detections and len(rows) > count:
        kept = _suppress(*candidates, iou)
    kept = kept[:max_detections]
    return rows[kept], classes[kept]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of `a` ``(N, 4)`` with each of `b` ``(M, 4)``: (N, M)."""
    shared = _shared_areas(a, b)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _shared_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each box of `a` ``(N, 4)`` with each of `b` ``(M, 4)``: (N, M)."""
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return (corners[1] - corners[0]).clip(0).prod(axis=2)


def _suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou: float) -> np.ndarray:
    if not len(boxes):
        return np.zeros(0, np.int64)
    if boxes.shape[1] == 5:
        return _suppress_rotated(boxes, classes, iou)
    # OpenCV tells classes apart by shifting each beyond the largest coordinate of the one
    # before, which takes coordinates that are not negative.
    corners = boxes.astype(np.float64)
    corners -= corners.min()
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(xywh, scores, classes, 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)


def _suppress_rotated(boxes: np.ndarray, classes: np.ndarray, iou: float) -> np.ndarray:
    # OpenCV's own suppression of rotated boxes drops a small one that lies within a large one.
    corners, around = rotated_corners(boxes), enclosing_boxes(boxes)
    areas = boxes[:, 2] * boxes[:, 3]
    left, kept = np.arange(len(boxes)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        # What two boxes share is part of what those around them share: few pairs are in doubt.
        shared = _shared_areas(around[best : best + 1], around[left])[0].clip(max=areas[left])
        doubtful = shared > iou * (areas[best] + areas[left] - shared)
        doubtful &= classes[left] == classes[best]
        for place in np.flatnonzero(doubtful):
            own, _ = cv2.intersectConvexConvex(corners[best], corners[left[place]])
            doubtful[place] = own > iou * (areas[best] + areas[left[place]] - own)
        left = left[~doubtful]
    return np.array(kept, np.int64)
