"""Comparing what two forms of a detector found, output by output."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
from keras_twin import keras_runner

from synet.export.convert import to_keras
from synet.quantization import agreement as module
from synet.quantization.agreement import compare_outputs, torch_runner
from synet.system.errors import SynetError, VerificationError

SHAPE = (10, 20)
IMAGES = [np.zeros((*SHAPE, 1), np.float32)] * 2


def found(rows=3, **changed):
    scores = np.linspace(0, 1, rows, dtype=np.float32).reshape(1, rows, 1)
    boxes = np.full((1, rows, 2), 5, np.float32)
    outputs = {"x1y1": boxes, "x2y2": boxes, "scores": scores, "keypoints": boxes, "angles": scores}
    return lambda image: {**outputs, **{k: outputs[k] + v for k, v in changed.items()}}


@pytest.mark.parametrize(
    ("changed", "scores", "boxes"),
    [
        ({}, 0, 0),
        ({"scores": 0.25}, 0.25, 0),
        ({"scores": 0.25, "angles": -0.5}, 0.5, 0),
        ({"x2y2": 2}, 0, 0.1),
        ({"x1y1": 2, "keypoints": 4}, 0, 0.2),
    ],
)
def test_the_worst_output_of_each_kind(changed, scores, boxes):
    agreement = compare_outputs(IMAGES, found(), found(**changed), SHAPE, np.mean)
    assert (agreement.scores, agreement.boxes) == pytest.approx((scores, boxes))
    assert agreement.rows == 6


def test_only_rows_that_the_reference_is_sure_of():
    sure = {"x1y1": np.array([8, 4, 2], np.float32).reshape(1, 3, 1)}
    agreement = compare_outputs(IMAGES, found(), found(**sure), SHAPE, max, confident=0.5)
    assert agreement.boxes == pytest.approx(4 / 20)
    assert agreement.rows == 4
    assert compare_outputs(IMAGES, found(), found(**sure), SHAPE, max, confident=2).rows == 0


@pytest.mark.parametrize("other", [found(rows=4), lambda image: {"scores": np.zeros((1, 3, 1))}])
def test_outputs_that_do_not_correspond(other):
    with pytest.raises(VerificationError, match="the outputs are .*, expected "):
        compare_outputs(IMAGES, found(), other, SHAPE, max)


def test_rotated_boxes():
    outputs = {
        "sides": np.zeros((1, 2, 4), np.float32),
        "angle": np.zeros((1, 2, 1), np.float32),
        "scores": np.ones((1, 2, 1), np.float32),
    }
    other = {**outputs, "sides": outputs["sides"] + 2, "angle": outputs["angle"] + np.pi / 4}
    agreement = compare_outputs(IMAGES, lambda _: outputs, lambda _: other, SHAPE, max)
    assert (agreement.scores, agreement.boxes) == pytest.approx((0.25, 0.1))


def test_every_image_of_a_classifier_counts():
    given = {"probabilities": np.array([[0.1, 0.2, 0.7]], np.float32)}
    other = {"probabilities": np.array([[0.1, 0.3, 0.6]], np.float32)}
    agreement = compare_outputs(IMAGES, lambda _: given, lambda _: other, SHAPE, max, confident=0.9)
    assert (agreement.scores, agreement.boxes) == pytest.approx((0.1, 0))
    assert agreement.rows == 6


@pytest.mark.parametrize(("coefficient", "apart"), [(0.0, 0.0), (1.0, 0.25), (1000.0, 0.25)])
def test_masks_are_what_coefficients_and_prototypes_make_together(coefficient, apart):
    """Half of the image is masked more surely; the other half not at all, whatever is added."""
    prototypes = np.zeros((1, 4, 4, 2), np.float32)
    prototypes[:, :2, :, 0] = 100
    rows = {n: np.zeros((1, 3, 2), np.float32) for n in ("x1y1", "x2y2", "coefficients")}
    given = {**rows, "scores": np.ones((1, 3, 1), np.float32), "prototypes": prototypes}
    other = {**given, "coefficients": given["coefficients"] + coefficient}
    agreement = compare_outputs(IMAGES, lambda _: given, lambda _: other, SHAPE, np.mean)
    assert (agreement.scores, agreement.boxes) == pytest.approx((apart, 0), abs=1e-6)


def test_masks_of_the_best_rows_only(monkeypatch):
    monkeypatch.setattr(module, "MASKS", 1)
    coefficients = np.array([[[0.0], [1.0], [2.0]]], np.float32)
    given = {
        **{n: np.zeros((1, 3, 2), np.float32) for n in ("x1y1", "x2y2")},
        "scores": np.array([[[0.3], [0.9], [0.5]]], np.float32),
        "coefficients": coefficients,
        "prototypes": np.full((1, 2, 2, 1), 50, np.float32),
    }
    for row, apart in ((0, 0), (1, 1), (2, 0)):
        other = coefficients.copy()
        other[0, row] -= 2
        both = (lambda _: given), (lambda _, other=other: {**given, "coefficients": other})
        assert compare_outputs(IMAGES, *both, SHAPE, max).scores == pytest.approx(apart)


def test_torch_against_keras():
    network = heads.network(heads.Pose())
    images = [np.random.default_rng(i).random((64, 96, 1), np.float32) for i in range(2)]
    both = torch_runner(network), keras_runner(to_keras(network, (64, 96), 1))
    agreement = compare_outputs(images, *both, (64, 96), max)
    assert max(agreement.scores, agreement.boxes) < 1e-4
    network.model[-1].stride *= 1.01
    assert compare_outputs(images, torch_runner(network), both[1], (64, 96), max).boxes > 1e-3


def test_a_network_without_a_head_that_we_know():
    with pytest.raises(SynetError, match="no head that"):
        torch_runner(heads.Never())
