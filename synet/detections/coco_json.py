"""What was found, in the form in which COCO wants results: a list of dictionaries that JSON holds.

Beyond COCO, a rotated box is there as ``rbox`` (centre x, centre y, width, height in pixels, angle
in radians) and ``poly`` (x and y of its corners in turn), and a classifier's answer as
``probabilities``, by class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from synet.detections.detections import Detections
from synet.rotated import rotated_corners

PIXEL_DIGITS, SCORE_DIGITS = 3, 5  # behind the point


def image_id(name: str) -> int | str:
    """The id of an image of such a name without suffix, as YOLO gives it: a number if it is one."""
    return int(name) if name.isascii() and name.isdigit() else name


def found_entries(identity: int | str, found: Detections) -> list[dict[str, Any]]:
    """An entry a detection: image and category id, box as x, y, width, height, score, and more.

    Parameters
    ----------
    identity
        Of the image.
    found
        In its pixels; keypoints become x, y, presence of each in turn, masks COCO's run lengths.
    """
    corners = found.boxes.astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    entries = [
        {
            "image_id": identity,
            "category_id": int(class_id),
            "bbox": _rounded(box, PIXEL_DIGITS),
            "score": round(float(score), SCORE_DIGITS),
        }
        for box, score, class_id in zip(boxes, found.scores, found.classes, strict=True)
    ]
    for index, entry in enumerate(entries):
        if found.keypoints is not None:
            entry["keypoints"] = _rounded(found.keypoints[index], PIXEL_DIGITS)
        if found.masks is not None:
            encoded = rle.encode(np.asfortranarray(found.masks[index], np.uint8))
            entry["segmentation"] = {
                "size": [int(side) for side in encoded["size"]],
                "counts": encoded["counts"].decode("ascii"),
            }
        if found.rotated is not None:
            turned = found.rotated[index : index + 1]
            entry["rbox"] = _rounded(turned, SCORE_DIGITS)
            entry["poly"] = _rounded(rotated_corners(turned), PIXEL_DIGITS)
    return entries


def class_entries(identity: int | str, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """The entry of an image that was classified: the likeliest class, its score, and all others'.

    Parameters
    ----------
    identity
        Of the image.
    probabilities
        ``(classes,)``, 0-1.
    """
    best = int(probabilities.argmax())
    return [
        {
            "image_id": identity,
            "category_id": best,
            "score": round(float(probabilities[best]), SCORE_DIGITS),
            "probabilities": _rounded(probabilities, SCORE_DIGITS),
        }
    ]


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return np.round(np.ravel(values).astype(np.float64), digits).tolist()
