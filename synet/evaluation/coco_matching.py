"""What a model found, matched with the labels as COCO does it.

The arithmetic is that of pycocotools: ten IoU thresholds, 101 recall points, at most 100
detections of a class in an image.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from synet.detections.detections import Detections
from synet.system.steps import step


def coco_evaluation(
    labels: Sequence[Detections],
    found: Sequence[Detections],
    classes: Iterable[int],
    ious: Sequence[float] | None = None,
) -> COCOeval:
    """Let pycocotools match what was found with what is there, of boxes of every size.

    Parameters
    ----------
    labels, found
        What is there and what was found, image by image.
    classes
        The class ids to report on.
    ious
        The least overlaps of a match, one evaluation each. Default: COCO's ten.
    """
    step("matching what was found with the labels")
    classes = sorted({int(each) for each in classes})
    with redirect_stdout(io.StringIO()):  # pycocotools reports each of its steps
        evaluation = COCOeval(_coco(labels, classes), _coco(found, classes), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        if ious is not None:
            evaluation.params.iouThrs = np.asarray(ious, np.float64)
        evaluation.evaluate()
    return evaluation


def precision_of(evaluation: COCOeval, classes: Sequence[int]) -> np.ndarray:
    """Average precision of each class, of what `coco_evaluation` has matched.

    Returns
    -------
    float64 ``(classes, 2)``: at IoU 0.50, and the mean over IoU 0.50 to 0.95. NaN for a class
    that no label shows.
    """
    with redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    # threshold, recall, class, area, most detections; -1 where a class has no label
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1)
    result = np.stack([precision[0], precision.mean(axis=0)], axis=1)
    places = np.searchsorted(evaluation.params.catIds, classes)
    return np.where(result < 0, np.nan, result)[places]


def _coco(per_image: Sequence[Detections], classes: Iterable[int]) -> COCO:
    annotations: list[dict[str, Any]] = []
    for image_id, each in enumerate(per_image):
        corners = each.boxes.astype(np.float64)
        sizes = corners[:, 2:] - corners[:, :2]
        xywh = np.concatenate([corners[:, :2], sizes], axis=1).tolist()
        rows = zip(xywh, sizes.prod(axis=1), each.scores, each.classes, strict=True)
        for box, area, score, class_id in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes 0 for "no match"
                    "image_id": image_id,
                    "category_id": int(class_id),
                    "bbox": box,
                    "area": float(area),
                    "score": float(score),
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in range(len(per_image))],
        "categories": [{"id": int(class_id)} for class_id in classes],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
