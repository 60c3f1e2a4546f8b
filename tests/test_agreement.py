"""Comparing what two forms of a detector found, output by output."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads

from synet.agreement import compare, keras_runner, torch_runner
from synet.errors import SynetError, VerificationError
from synet.quantize import to_keras

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
    agreement = compare(IMAGES, found(), found(**changed), SHAPE, np.mean)
    assert (agreement.scores, agreement.boxes) == pytest.approx((scores, boxes))
    assert agreement.rows == 6


def test_only_rows_that_the_reference_is_sure_of():
    sure = {"x1y1": np.array([8, 4, 2], np.float32).reshape(1, 3, 1)}
    agreement = compare(IMAGES, found(), found(**sure), SHAPE, max, confident=0.5)
    assert agreement.boxes == pytest.approx(4 / 20)
    assert agreement.rows == 4
    assert compare(IMAGES, found(), found(**sure), SHAPE, max, confident=2).rows == 0


@pytest.mark.parametrize("other", [found(rows=4), lambda image: {"scores": np.zeros((1, 3, 1))}])
def test_outputs_that_do_not_correspond(other):
    with pytest.raises(VerificationError, match="the outputs are .*, expected "):
        compare(IMAGES, found(), other, SHAPE, max)


def test_torch_against_keras():
    network = heads.network(heads.Pose())
    images = [np.random.default_rng(i).random((64, 96, 1), np.float32) for i in range(2)]
    both = torch_runner(network), keras_runner(to_keras(network, (64, 96), 1))
    agreement = compare(images, *both, (64, 96), max)
    assert max(agreement.scores, agreement.boxes) < 1e-4
    network.model[-1].stride *= 1.01
    assert compare(images, torch_runner(network), both[1], (64, 96), max).boxes > 1e-3


def test_a_network_without_a_head_that_we_know():
    with pytest.raises(SynetError, match="no detection head"):
        torch_runner(heads.Never())
