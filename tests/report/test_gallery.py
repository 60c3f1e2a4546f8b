from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from synet.data.images import write_image
from synet.detections.detections import Detections
from synet.evaluation.found import Found
from synet.report.gallery import SIDE_PX, disagreement, gallery

SQUARE = (10, 10, 30, 30)
HALF = (10, 10, 30, 20)  # of it


def found(*rows):
    """Detections of (box, score, class)."""
    boxes, scores, classes = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.array(boxes, float).reshape(-1, 4), scores, classes)


def test_the_same_boxes_do_not_disagree():
    boxes = found((SQUARE, 0.9, 0), (HALF, 0.3, 1))
    assert disagreement(boxes, boxes).value == 0
    assert disagreement(boxes[:0], boxes[:0]).value == 0


@pytest.mark.parametrize(
    ("first", "second", "value", "counts"),
    [
        ([(SQUARE, 0.9, 0)], [(HALF, 0.4, 0)], 0.5, (1, 0, 0)),  # by place, whatever the score
        ([(SQUARE, 0.9, 0)], [(SQUARE, 0.4, 1)], 1.3, (0, 1, 1)),  # another class
        ([(SQUARE, 0.9, 0)], [], 0.9, (0, 1, 0)),
        ([(SQUARE, 0.9, 0)], [((10, 10, 30, 19), 0.5, 0)], 1.4, (0, 1, 1)),  # less than half
        # the better pair first, though the other comes first in both
        ([(HALF, 0.9, 0), (SQUARE, 0.5, 0)], [(SQUARE, 0.8, 0)], 0.9, (1, 1, 0)),
    ],
)
def test_disagreement(first, second, value, counts):
    apart = disagreement(found(*first), found(*second))
    assert apart.value == pytest.approx(value)
    assert (apart.both, apart.only_first, apart.only_second) == counts
    back = disagreement(found(*second), found(*first))
    assert back.value == pytest.approx(value)


@pytest.fixture
def images(tmp_path) -> tuple[Path, ...]:
    sizes = [(40, 60, 3), (600, 1200, 3), (40, 60, 3)]
    return tuple(
        write_image(tmp_path / f"{number}.png", np.full(size, 90, np.uint8))
        for number, size in enumerate(sizes)
    )


def all_found(images, *per_image, labels=None) -> Found:
    return Found(images, labels or (found(),) * 3, per_image, np.array([0]), 1.0)


def picture(shown) -> np.ndarray:
    kind, _, content = shown.address.partition(",")
    assert kind == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)


def test_the_worst_comes_first_and_only_so_many(images):
    int8 = all_found(images, found(), found((SQUARE, 0.9, 0)), found((SQUARE, 0.5, 0)))
    float_ = all_found(images, found(), found(), found())
    shown = gallery(int8, float_, ("thing",), count=2)
    assert [each.name for each in shown] == ["1.png", "2.png"]
    assert [each.disagreement.value for each in shown] == pytest.approx([0.9, 0.5])
    assert [each.title for each in shown[0].pictures] == ["ground truth", "float", "int8"]
    assert [each.description for each in shown[0].pictures] == [
        "ground truth on 1.png: nothing",
        "float on 1.png: nothing",
        "int8 on 1.png: thing",
    ]


def test_large_images_are_made_smaller_with_their_boxes(images):
    box = found(((0, 0, 600, 600), 0.9, 0))
    (shown,) = gallery(all_found(images, found(), box, found()), None, ("thing",), count=1)
    for each in shown.pictures:
        assert (each.width, each.height) == (SIDE_PX, SIDE_PX // 2)
        assert picture(each).shape == (SIDE_PX // 2, SIDE_PX, 3)
    plain, drawn = (picture(each).astype(int) for each in shown.pictures)
    rows, columns = np.nonzero(np.abs(drawn - plain).max(axis=2) > 40)
    assert (
        SIDE_PX / 2 - 4 < columns.max() < SIDE_PX / 2 + 8
    )  # the right edge of the box, and no more
    assert rows.max() > SIDE_PX / 2 - 8


def test_what_an_application_would_not_show_does_not_count(images):
    faint, twice = (SQUARE, 0.2, 0), ((10, 10, 30, 29), 0.6, 0)
    int8 = all_found(images, found((SQUARE, 0.9, 0), twice, faint), found(), found(faint))
    float_ = all_found(images, found((SQUARE, 0.9, 0)), found(), found())
    assert [each.disagreement.value for each in gallery(int8, float_, ("thing",))] == [0, 0, 0]


def test_without_a_float_model_it_is_the_labels_that_count(images):
    """Those of classes that the model can find."""
    labels = (found((SQUARE, 1, 0), (HALF, 1, 1)), found(), found())
    int8 = all_found(images, found((HALF, 0.5, 0)), found(), found(), labels=labels)
    (shown,) = gallery(int8, None, ("thing", "other"), count=1)
    assert [each.title for each in shown.pictures] == ["ground truth", "int8"]
    assert shown.pictures[0].description == "ground truth on 0.png: thing"
    assert shown.disagreement.value == pytest.approx(0.5)


def test_keypoints_and_rotated_boxes_move_with_the_image(images):
    box = Detections(
        [[200, 100, 400, 300]],
        [0.9],
        [0],
        keypoints=[[[300, 200, 1]]],
        rotated=[[300, 200, 100, 100, 0.5]],
    )
    (shown,) = gallery(all_found(images, found(), box, found()), None, ("thing",), count=1)
    plain, drawn = (picture(each).astype(int) for each in shown.pictures)
    rows, columns = np.nonzero(np.abs(drawn - plain).max(axis=2) > 40)
    factor = SIDE_PX / 1200
    assert columns.min() > 190 * factor and columns.max() < 420 * factor
    assert rows.max() < 310 * factor
