"""Selection of boxes, against a suppression written the long way."""

from __future__ import annotations

import numpy as np
import pytest

from synet.detections.detections import Detections, best_rows, overlaps


def select(boxes, scores, *limits):
    """What `best_rows` chooses, as detections."""
    rows, classes = best_rows(boxes, scores, *limits)
    return Detections(boxes[rows], scores[rows, classes], classes)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def select_slowly(boxes, scores, confidence, iou, max_detections=300):
    """The definition, pair by pair: (row, class) of what is kept."""
    candidates = [
        (row, class_id)
        for row in range(scores.shape[0])
        for class_id in range(scores.shape[1])
        if scores[row, class_id] > confidence
    ]
    candidates.sort(key=lambda pair: -scores[pair])
    kept = []
    for row, class_id in candidates:
        rivals = [other for other, other_class in kept if other_class == class_id]
        if all(overlap(boxes[row].astype(float), boxes[r].astype(float)) <= iou for r in rivals):
            kept.append((row, class_id))
    return kept[:max_detections]


def random_boxes(rng: np.random.Generator, count: int, low: float = 0) -> np.ndarray:
    corner = rng.uniform(low, 200, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 80, (count, 2))], 1).astype(np.float32)


@pytest.mark.parametrize("low", [0, -150], ids=["inside", "over-the-edge"])
@pytest.mark.parametrize(("confidence", "iou"), [(0.001, 0.6), (0.25, 0.45), (0.5, 0.05)])
@pytest.mark.parametrize("classes", [1, 4])
def test_select_is_what_its_definition_says(classes, confidence, iou, low):
    rng = np.random.default_rng(classes)
    boxes = random_boxes(rng, 150, low)
    scores = rng.random((150, classes), np.float32)
    found = select(boxes, scores, confidence, iou)
    expected = select_slowly(boxes, scores, confidence, iou)
    assert len(expected) > 5
    np.testing.assert_array_equal(found.boxes, [boxes[row] for row, _ in expected])
    np.testing.assert_array_equal(found.scores, [scores[pair] for pair in expected])
    np.testing.assert_array_equal(found.classes, [class_id for _, class_id in expected])


@pytest.mark.parametrize("max_detections", [1, 3, 20])
def test_the_best_few_are_the_first_of_all(max_detections):
    """Also where most candidates are suppressed, so that the first few do not fill the list."""
    rng = np.random.default_rng(0)
    boxes = np.repeat(random_boxes(rng, 25), 40, axis=0) + rng.uniform(-1, 1, (1000, 4))
    boxes, scores = boxes.astype(np.float32), rng.random((1000, 1), np.float32)
    scores[:40] += 1  # one object takes all of the first candidates
    found = select(boxes, scores, 0.001, 0.5, max_detections)
    expected = select_slowly(boxes, scores, 0.001, 0.5, max_detections)
    np.testing.assert_array_equal(found.boxes, [boxes[row] for row, _ in expected])


def test_one_box_may_be_of_two_classes():
    found = select(np.array([[0, 0, 9, 9]]), np.array([[0.3, 0.9]]), 0.1, 0.5)
    assert found.classes.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.3])


def test_equal_scores_keep_their_order():
    boxes = np.array([[x, 0, x + 5, 5] for x in (30, 0, 60, 10)])
    found = select(boxes, np.full((4, 1), 0.5), 0.1, 0.5)
    assert found.boxes[:, 0].tolist() == [30, 0, 60, 10]


def test_boxes_without_area_or_number_are_dropped():
    boxes = [[0, 0, 0, 5], [5, 5, 1, 9], [0, 0, np.nan, 5], [0, 0, np.inf, 5], [1, 1, 2, 2]]
    found = select(np.array(boxes), np.full((5, 1), 0.5), 0.1, 0.5)
    assert found.boxes.tolist() == [[1, 1, 2, 2]]
    assert not len(select(np.array(boxes), np.full((5, 1), np.nan), 0.1, 0.5))


@pytest.mark.parametrize("rows", [0, 7])
def test_nothing_found(rows):
    found = select(np.ones((rows, 4)), np.zeros((rows, 3)), 0.001, 0.6)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.classes.shape == (0,)


def test_detections_agree_in_length():
    with pytest.raises(ValueError, match=r"expected shapes \(N, 4\), \(N,\), \(N,\)"):
        Detections(np.zeros((2, 4)), np.zeros(2), np.zeros(3))


def test_detections_are_picked_by_mask_slice_and_position():
    found = Detections(np.arange(12).reshape(3, 4), [0.1, 0.2, 0.3], [0, 1, 2])
    assert found[found.scores > 0.15].classes.tolist() == [1, 2]
    assert found[:1].boxes.tolist() == [[0, 1, 2, 3]]
    assert found[np.array([2, 0])].classes.tolist() == [2, 0]
    assert found.boxes.dtype == found.scores.dtype == np.float32


def test_overlaps_of_all_pairs():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 20), random_boxes(rng, 30)
    expected = [[overlap(x, y) for y in b] for x in a]
    np.testing.assert_allclose(overlaps(a, b), expected, atol=1e-6)
    assert overlaps(a[:0], b).shape == (0, 30)


def test_all_that_a_detection_has_is_picked_with_it():
    found = Detections(
        np.zeros((3, 4)),
        [0.1, 0.2, 0.3],
        [0, 1, 2],
        keypoints=np.arange(18).reshape(3, 2, 3),
        masks=np.arange(12).reshape(3, 2, 2) % 5 == 0,
        rotated=np.arange(15).reshape(3, 5),
    )
    picked = found[found.scores > 0.15]
    assert picked.keypoints.tolist() == found.keypoints[1:].tolist()
    assert picked.masks.tolist() == found.masks[1:].tolist()
    assert picked.rotated.tolist() == found.rotated[1:].tolist()
    assert (picked.keypoints.dtype, picked.masks.dtype) == (np.float32, np.bool_)
    assert found[:0].masks.shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("name", "shape", "form"),
    [
        ("keypoints", (2, 17, 2), r"\(2, any, 3\)"),
        ("masks", (3, 4, 4), r"\(2, any, any\)"),
        ("rotated", (2, 4), r"\(2, 5\)"),
    ],
)
def test_all_that_detections_have_agrees_in_length(name, shape, form):
    with pytest.raises(ValueError, match=f"{name}: expected shape {form}, found"):
        Detections(np.zeros((2, 4)), np.zeros(2), np.zeros(2), **{name: np.zeros(shape)})


def test_rows_of_rotated_boxes():
    """Upright ones are chosen as boxes are; a quarter turn of a square changes nothing."""
    rng = np.random.default_rng(0)
    boxes, scores = random_boxes(rng, 80), rng.random((80, 3), np.float32)
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    expected = best_rows(boxes, scores, 0.3, 0.45)
    assert len(expected[0]) > 20
    upright = np.concatenate([middle, size, np.zeros((80, 1))], axis=1)
    turned = np.concatenate([middle, size[:, ::-1], np.full((80, 1), np.pi / 2)], axis=1)
    for rotated in (upright, turned):
        found = best_rows(rotated, scores, 0.3, 0.45)
        np.testing.assert_array_equal(found, expected)
    assert len(best_rows(upright[:0], scores[:0], 0.3, 0.45)[0]) == 0
