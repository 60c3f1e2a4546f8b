"""Curves and thresholds, against average precision and by counting anew at every threshold."""

from __future__ import annotations

import numpy as np
import predicted
import pytest
from colour_detector import random_images
from matched import average_precision, curves, matches

from synet.data.yolo_yaml import load_dataset
from synet.detections.detections import Detections
from synet.evaluation.curves import (
    Matches,
    Score,
    joined,
    threshold_for_precision,
    threshold_of_best_f1,
)
from synet.evaluation.yolo_predictions import read_predictions


def found(*rows: tuple[float, bool], labels: int = 10) -> Matches:
    confidence, right = zip(*rows, strict=True) if rows else ((), ())
    return Matches(np.array(confidence, float), np.array(right, bool), labels)


@pytest.mark.parametrize("seed", range(4))
def test_the_area_under_a_curve_is_the_average_precision(seed):
    labels, hits = random_images(np.random.default_rng(seed), crowd=200 if seed else 3)
    precision = average_precision(labels, hits, range(3))
    for class_id, curve in curves(labels, hits, range(3)).items():
        assert curve.interpolated().mean() == pytest.approx(precision[class_id, 0], abs=1e-9)


def test_the_area_at_another_overlap():
    labels, hits = random_images(np.random.default_rng(1), crowd=200)
    halves = [curves(labels, hits, [0], iou)[0].interpolated().mean() for iou in (0.5, 0.95)]
    assert halves[0] > 2 * halves[1] > 0


@pytest.mark.parametrize("data", ["bccd/bccd.yaml", "coco128/coco128.yaml"])
def test_the_area_on_real_labels(shared, tmp_path, data):
    dataset = load_dataset(shared / "data" / data)
    folder = predicted.write(dataset.yaml, tmp_path / "exp")
    result = read_predictions(folder, dataset, progress=False)
    classes = range(len(dataset.names))
    precision = average_precision(result.labels, result.found, classes)[:, 0]
    lines = curves(result.labels, result.found, classes)
    shown = ~np.isnan(precision)
    area = np.array([lines[number].interpolated().mean() for number in classes])
    np.testing.assert_allclose(area[shown], precision[shown], atol=1e-9)


def test_a_curve_by_hand():
    curve = found((0.9, True), (0.8, False), (0.8, True), (0.3, True), labels=4).curve
    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3, 3 / 4]
    assert curve.recall.tolist() == [0.25, 0.25, 0.5, 0.75]
    assert curve.f1.tolist() == pytest.approx([0.4, 1 / 3, 4 / 7, 0.75])
    assert curve.thresholds.confidence.tolist() == [0.9, 0.8, 0.3]
    assert curve.thresholds.precision.tolist() == [1, 2 / 3, 3 / 4]
    interpolated = curve.interpolated()  # 26 points up to a recall of 0.25, 50 to 0.75, 25 beyond
    assert interpolated.sum() == pytest.approx(26 * 1 + 50 * 0.75)


def test_curves_of_little():
    empty = found().curve
    assert len(empty.thresholds.confidence) == 0 and len(empty.f1) == 0
    assert not empty.interpolated().any()
    unseen = found((0.9, False), labels=0).curve
    assert np.isnan(unseen.recall).all() and np.isnan(unseen.f1).all()
    assert np.isnan(unseen.interpolated()).all()
    assert found((0.9, False)).curve.f1.tolist() == [0]


def test_matches_of_classes_that_are_asked_for():
    box = [[0, 0, 9, 9]]
    there = [Detections(box * 3, [1, 1, 1], [0, 0, 1])]
    hits = [Detections(box * 3, [0.9, 0.8, 0.7], [0, 2, 0])]
    result = matches(there, hits, [0, 2, 5])
    assert sorted(result) == [0, 2, 5]
    assert result[0].right.tolist() == [True, True] and result[0].labels == 2
    assert result[2].right.tolist() == [False] and result[2].labels == 0
    assert len(result[5].confidence) == 0


def test_joined_keeps_the_order_of_equal_confidences():
    first, second = found((0.9, True), (0.5, False)), found((0.9, False), (0.7, True), labels=3)
    both = joined([first, second])
    assert both.confidence.tolist() == [0.9, 0.9, 0.7, 0.5]
    assert both.right.tolist() == [True, False, True, False]
    assert both.labels == 13
    assert joined([]).labels == 0


def test_a_score():
    score = found((0.9, True), (0.8, False), (0.8, True), (0.3, True)).above(0.5)
    assert score == Score(labels=10, found=3, right=2)
    assert (score.precision, score.recall) == (2 / 3, 0.2)
    assert score.f1 == pytest.approx(2 / (1 / score.precision + 1 / score.recall))
    assert found((0.9, True)).above(0.9).found == 0  # above, not from: as everywhere in SyNet
    nothing = Score(0, 0, 0)
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()
    assert Score(labels=3, found=0, right=0).f1 == 0


def test_of_thresholds_that_reach_a_precision_the_lowest():
    """Precision 1, 2/3, 3/4, 3/5: 0.7 is reached, lost, and reached again further down."""
    hits = found((0.9, True), (0.8, True), (0.6, False), (0.42, True), (0.3, False))
    assert threshold_for_precision(hits, 0.7) == 0.4  # a short number between 0.3 and 0.42
    assert threshold_for_precision(hits, 0.75) == 0.4
    assert threshold_for_precision(hits, 0.76) == 0.7
    assert threshold_for_precision(hits, 0.6) == 0.1
    assert threshold_of_best_f1(hits) == 0.4


def test_what_is_not_reached():
    hits = found((0.9, False), (0.8, True))
    assert threshold_for_precision(hits, 0.51) is None
    assert threshold_for_precision(hits, 0.5) == 0.1
    assert threshold_for_precision(found(), 0.1) is None
    assert threshold_of_best_f1(found()) is None
    assert threshold_of_best_f1(found((0.9, False))) is None


def test_a_threshold_takes_all_of_a_confidence_or_none():
    hits = found((0.5, True), (0.5, False), (0.5, False), (0.25, True))
    assert threshold_for_precision(hits, 0.9) is None  # though the first alone is right
    assert threshold_for_precision(hits, 0.5) == 0.1


def test_a_threshold_parts_neighbours_however_close():
    low, high = np.nextafter(np.float32([0.3, 0.3]), np.float32([0, 1])).astype(float)
    threshold = threshold_for_precision(found((high, True), (low, False)), 1.0)
    assert low < threshold < high
    assert len(str(threshold)) < 11


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_those_of_a_plain_search(seed):
    """Against a search that counts anew at each confidence, scores in steps as int8 has them."""
    rng = np.random.default_rng(seed)
    confidence = np.sort(rng.integers(1, 256, 300) / 256)[::-1]
    hits = Matches(confidence, rng.random(300) < confidence, labels=200)
    scores = {step / 512: hits.above(step / 512) for step in range(1, 512, 2)}  # between the steps
    for precision in (0.5, 0.6, 0.7, 0.8, 0.9):
        lowest = min(
            (threshold for threshold, score in scores.items() if score.precision >= precision),
            default=None,
        )
        threshold = threshold_for_precision(hits, precision)
        assert (threshold is None) == (lowest is None)
        if lowest is not None:
            assert hits.above(threshold) == scores[lowest]
    best = max(score.f1 for score in scores.values())
    assert hits.above(threshold_of_best_f1(hits)).f1 == pytest.approx(best)
