"""The confidence shift, on scenes where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synet.detections.detections import Detections
from synet.detections.score_shift import confidence_shift, float_twin


def objects(*rows: tuple[float, float, int, float]) -> Detections:
    """20x20 boxes from x, y, class and score each."""
    table = np.array(rows).reshape(-1, 4)
    corners = table[:, :2]
    return Detections(np.concatenate([corners, corners + 20], 1), table[:, 3], table[:, 2])


def test_the_mean_over_objects_that_both_find():
    reference = objects((0, 0, 0, 0.9), (50, 0, 1, 0.6), (90, 0, 0, 0.3))
    found = objects((1, 0, 0, 0.8), (50, 2, 1, 0.8), (0, 90, 0, 0.7))
    shift = confidence_shift([(found, reference)])
    assert shift.mean == pytest.approx((0.1 + 0.2) / 2)
    assert (shift.matched, shift.objects) == (2, 3)
    assert str(shift) == "confidence shift 0.1500 (mean of 2 of the 3 objects that float finds)"


def test_class_and_overlap_decide_what_matches():
    reference = objects((0, 0, 0, 0.9))
    assert confidence_shift([(objects((0, 0, 1, 0.9)), reference)]).matched == 0
    assert confidence_shift([(objects((8, 0, 0, 0.9)), reference)]).matched == 0  # 12 of 28
    assert confidence_shift([(objects((6, 0, 0, 0.9)), reference)]).matched == 1  # 14 of 26
    assert confidence_shift([(objects((8, 0, 0, 0.9)), reference)], iou=0.4).matched == 1


def test_an_object_is_matched_once_by_the_surest():
    reference = objects((0, 0, 0, 0.9))
    found = objects((1, 0, 0, 0.1), (3, 0, 0, 0.7))
    shift = confidence_shift([(found, reference)])
    assert (shift.mean, shift.matched) == (pytest.approx(0.2), 1)


def test_what_the_reference_is_unsure_of_does_not_count():
    reference = objects((0, 0, 0, 0.2), (50, 0, 0, 0.25))
    found = objects((0, 0, 0, 0.9), (50, 0, 0, 0.05))
    shift = confidence_shift([(found, reference)])
    assert (shift.mean, shift.objects) == (pytest.approx(0.2), 1)


def test_images_are_apart():
    shift = confidence_shift([(objects(), objects((0, 0, 0, 0.9))), (objects((0, 0, 0, 0.9)),) * 2])
    assert (shift.mean, shift.matched, shift.objects) == (0, 1, 2)


def test_nothing_to_compare():
    shift = confidence_shift([(objects((0, 0, 0, 0.9)), objects())])
    assert math.isnan(shift.mean)
    assert "unknown (none of the 0 objects" in str(shift)


def test_a_twin_lies_beside(tmp_path):
    file = tmp_path / "best.tflite"
    assert float_twin(file) is None
    file.with_suffix(".pt").touch()
    assert float_twin(file) == tmp_path / "best.pt"
    assert float_twin(tmp_path / "best.pt") is None
    assert float_twin(tmp_path / "best-random.tflite") == tmp_path / "best.pt"
    (tmp_path / "best-random.pt").touch()
    assert float_twin(tmp_path / "best-random.tflite") == tmp_path / "best-random.pt"
