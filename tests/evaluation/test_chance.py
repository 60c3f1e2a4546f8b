"""How much of a difference is chance, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from synet.detections.detections import Detections
from synet.evaluation import chance
from synet.evaluation.chance import FEW, Change, changes
from synet.evaluation.coco_matching import coco_evaluation, precision_of

BOX = (10, 10, 50, 50)


def detections(*rows) -> Detections:
    """Of (box, score, class)."""
    boxes, scores, classes = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.array(boxes, float).reshape(-1, 4), scores, classes)


def random_split(seed: int, images: int = 30, noise: float = 5) -> tuple[list, list]:
    """Labels of two classes of three, and finds near them and elsewhere, some of one score."""
    rng = np.random.default_rng(7)
    labels, found = [], []
    for _ in range(images):
        count = rng.integers(0, 5)
        corners = rng.uniform(0, 80, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(15, 40, (count, 2))], axis=1)
        labels.append(Detections(boxes, np.ones(count), rng.integers(0, 2, count)))
    rng = np.random.default_rng(seed)
    for each in labels:
        boxes = np.concatenate([each.boxes, rng.uniform(0, 40, (3, 4)) + (0, 0, 45, 45)])
        moved = boxes + rng.normal(0, noise, boxes.shape)
        scores = rng.integers(1, 30, len(boxes)) / 30
        classes = np.concatenate([each.classes, rng.integers(0, 3, 3)])
        found.append(Detections(moved, scores, classes))
    return labels, found


def test_the_images_as_they_are_give_pycocotools_average_precision():
    labels, found = random_split(1)
    evaluation = coco_evaluation(labels, found, [0, 1, 2])
    own = chance._precision(evaluation, np.ones((1, len(labels)), int))[0]
    np.testing.assert_allclose(own, precision_of(evaluation, [0, 1, 2])[:, 1], atol=1e-12)
    assert np.isnan(own[2]) and 0 < own[0] < 1


def test_an_image_that_counts_twice_is_there_twice():
    labels, found = random_split(2, images=8)
    weights = np.array([[2, 0, 1, 1, 0, 3, 1, 0]])
    evaluation = coco_evaluation(labels, found, [0, 1])
    again = np.repeat(np.arange(8), weights[0])
    drawn = coco_evaluation([labels[at] for at in again], [found[at] for at in again], [0, 1])
    np.testing.assert_allclose(
        chance._precision(evaluation, weights)[0], precision_of(drawn, [0, 1])[:, 1], atol=1e-12
    )


def test_the_same_model_twice_is_no_difference():
    evaluation = coco_evaluation(*random_split(1), [0, 1])
    mean, of_class = changes(evaluation, evaluation)
    assert (mean.value, mean.low, mean.high, mean.images) == (0, 0, 0, 30)
    assert mean.is_chance and all(each.is_chance for each in of_class.values())


def test_two_models_that_are_as_good_differ_by_chance_and_a_worse_one_does_not():
    first, twin, worse = (
        coco_evaluation(*random_split(seed, noise=noise), [0, 1])
        for seed, noise in ((1, 3), (2, 3), (3, 8))
    )
    mean, _ = changes(first, twin)
    assert mean.value != 0 and mean.low < 0 < mean.high and mean.is_chance
    mean, of_class = changes(first, worse)
    assert mean.low < mean.value < mean.high < 0 and not mean.is_chance
    assert of_class.keys() == {0, 1}
    assert changes(first, worse) == (mean, of_class)  # the draws have a seed


def test_the_scatter_is_that_of_a_known_case():
    """The second model misses the class on 4 of 25 images, of one label each.

    A share p of n images scatters by sqrt(p (1 - p) / n), and average precision is the recall
    here, read at 101 places.
    """
    labels = [detections((BOX, 1, 0))] * 25
    found = [detections((BOX, 0.9, 0))] * 25
    missed = [detections()] * 4 + found[4:]
    mean, _ = changes(coco_evaluation(labels, found, [0]), coco_evaluation(labels, missed, [0]))
    assert mean.value == pytest.approx(-0.16, abs=0.01)
    scatter = np.sqrt(0.16 * 0.84 / 25)
    assert (mean.high - mean.low) / 2 == pytest.approx(1.96 * scatter, rel=0.15)
    assert not mean.is_chance


def test_of_a_few_images_nothing_is_certain():
    for images, certain in ((1, False), (FEW - 1, False), (FEW, True)):
        labels = [detections((BOX, 1, 0))] * images
        first = coco_evaluation(labels, labels, [0])
        second = coco_evaluation(labels, [detections()] * images, [0])
        mean, _ = changes(first, second)
        assert mean.value == -1 and mean.is_chance is not certain


def test_without_labels_there_is_nothing_to_tell():
    nothing = coco_evaluation([detections()] * 9, [detections((BOX, 0.5, 0))] * 9, [0])
    mean, of_class = changes(nothing, nothing)
    assert np.isnan([mean.value, mean.low, mean.high]).all() and mean.is_chance
    assert np.isnan(of_class[0].value)


def test_tables_are_made_in_parts(monkeypatch):
    labels, found = random_split(1)
    evaluation = coco_evaluation(labels, found, [0, 1])
    weights = np.random.default_rng(0).integers(0, 3, (50, len(labels)))
    whole = chance._precision(evaluation, weights)
    monkeypatch.setattr(chance, "AT_ONCE", 300)
    np.testing.assert_array_equal(chance._precision(evaluation, weights), whole)


@pytest.mark.parametrize(
    ("low", "high", "is_chance"), [(-0.1, 0.1, True), (0, 0.1, True), (0.01, 0.1, False)]
)
def test_chance(low, high, is_chance):
    assert Change(0.05, low, high, 100).is_chance is is_chance
