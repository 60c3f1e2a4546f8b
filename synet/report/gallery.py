"""The images on which two models disagree most, drawn beside what a person labelled."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from synet.data.images import read_image
from synet.detections.detections import NMS_IOU, Detections, overlaps
from synet.detections.draw import draw
from synet.detections.matching import match
from synet.detections.score_shift import SURE
from synet.evaluation.found import Found

SAME_IOU = 0.5  # the least overlap of two boxes that are taken for the same object
SIDE_PX = 512  # the longer side of a drawing
QUALITY = 82  # of JPEG
TEXT_SIZE = 0.5  # of a label, for such a side: it can be read where a page is as wide as a phone


@dataclass(frozen=True)
class Disagreement:
    """How far apart the boxes are that two models find on an image.

    Parameters
    ----------
    value
        The sum of 1 - IoU over the boxes that both find, and of the confidences of all others:
        0 where they agree.
    both, only_first, only_second
        How many boxes that are.
    """

    value: float
    both: int
    only_first: int
    only_second: int


@dataclass(frozen=True)
class Drawing:
    """A drawn image: a title, a ``data:`` address that holds it, its size, and words for it."""

    title: str
    address: str
    width: int
    height: int
    description: str


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery: its file's name, how far apart, and the pictures side by side."""

    name: str
    disagreement: Disagreement
    pictures: tuple[Drawing, ...]


def gallery(
    int8: Found, reference: Found | None, names: Sequence[str], count: int = 12
) -> tuple[Exhibit, ...]:
    """The images on which int8 disagrees most with float, or with the labels, the worst first.

    Parameters
    ----------
    int8, reference
        What the int8 file and its float twin find on the same images; None in place of the twin:
        it is the labels that int8 is compared with.
    names
        Of the classes of the dataset.
    count
        How many images at most.
    """
    kinds = {"ground truth": [each[np.isin(each.classes, int8.class_ids)] for each in int8.labels]}
    if reference:
        kinds["float"] = [_as_drawn(each) for each in reference.found]
    kinds["int8"] = [_as_drawn(each) for each in int8.found]
    first, second = list(kinds.values())[-2:]
    apart = [disagreement(a, b) for a, b in zip(first, second, strict=True)]
    worst = sorted(range(len(apart)), key=lambda at: (-apart[at].value, at))[:count]
    return tuple(
        Exhibit(
            int8.images[at].name,
            apart[at],
            tuple(_pictures(int8.images[at], {k: v[at] for k, v in kinds.items()}, names)),
        )
        for at in worst
    )


def disagreement(first: Detections, second: Detections) -> Disagreement:
    """How far apart two sets of boxes on an image are.

    Boxes of one class that overlap by half or more are paired, those that overlap most first.

    >>> box = Detections([[0, 0, 10, 10]], [0.75], [0])
    >>> disagreement(box, box).value
    0.0
    >>> disagreement(box, box[:0])
    Disagreement(value=0.75, both=0, only_first=1, only_second=0)
    """
    shared = overlaps(first.boxes, second.boxes)
    shared[first.classes[:, None] != second.classes[None]] = 0
    rows, columns = match(shared, shared.max(axis=1, initial=0), SAME_IOU)
    only_first = np.delete(first.scores, rows)
    only_second = np.delete(second.scores, columns)
    value = np.sum(1 - shared[rows, columns]) + only_first.sum() + only_second.sum()
    return Disagreement(float(value), len(rows), len(only_first), len(only_second))


def _as_drawn(found: Detections) -> Detections:
    """Of what counts for an average precision, what an application would show."""
    found = found[found.scores >= SURE]
    if found.rotated is not None:
        return found  # the boxes around them overlap where they do not
    shared = overlaps(found.boxes, found.boxes)
    shared[found.classes[:, None] != found.classes[None]] = 0
    kept: list[int] = []
    for row in np.argsort(-found.scores, kind="stable"):
        if not kept or shared[row, kept].max() <= NMS_IOU:
            kept.append(row)
    return found[kept]


def _pictures(file: Path, kinds: dict[str, Detections], names: Sequence[str]) -> Iterable[Drawing]:
    image = read_image(file)
    factor = min(1, SIDE_PX / max(image.shape[:2]))
    if factor < 1:
        # boxes are drawn afterwards, so that their labels stay legible
        size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for title, found in kinds.items():
        text_size = TEXT_SIZE * max(image.shape[:2]) / SIDE_PX
        drawn = draw(image, _scaled(found, factor), names, text_size)
        told = ", ".join(names[class_id] for class_id in found.classes) or "nothing"
        height, width = drawn.shape[:2]
        yield Drawing(title, _address(drawn), width, height, f"{title} on {file.name}: {told}")


def _scaled(found: Detections, factor: float) -> Detections:
    """What was found, on an image that was made smaller by `factor`."""
    moved = {"boxes": found.boxes * factor, "masks": None}
    if found.keypoints is not None:
        moved["keypoints"] = found.keypoints * np.array([factor, factor, 1], np.float32)
    if found.rotated is not None:
        moved["rotated"] = found.rotated * np.array([*[factor] * 4, 1], np.float32)
    return replace(found, **moved)


def _address(image: np.ndarray) -> str:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
