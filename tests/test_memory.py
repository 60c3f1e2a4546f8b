"""What does not fit a chip, and the image size at which it would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_heads as heads

from synet.chips import get_chip
from synet.export.tensorflow import convert
from synet.graph import read_graph
from synet.memory import apart_from_memory, largest_shape, memory_problems
from synet.quantize import to_keras


@pytest.mark.parametrize(
    ("shape", "stride", "share", "expected"),
    [
        ((480, 640), 32, 1.0, (480, 640)),
        ((480, 640), 32, 0.99, (384, 512)),
        ((480, 640), 32, 0.5, (288, 384)),
        ((640, 640), 32, 0.25, (320, 320)),
        ((640, 640), 64, 0.25, (320, 320)),
        ((240, 320), 32, 0.99, (192, 256)),  # not a multiple itself
        ((360, 640), 8, 0.5, (216, 384)),
        ((640, 640), 32, 0.001, None),
        ((241, 323), 8, 0.5, None),
    ],
)
def test_the_largest_shape(shape, stride, share, expected):
    assert largest_shape(shape, stride, share) == expected


@pytest.fixture(scope="module")
def measured():
    """A model's graphs, by image shape."""
    network = heads.network(heads.Anchors())

    def graph(*shape):
        images = [np.zeros((*shape, 1), np.float32)]
        return read_graph(convert(to_keras(network, shape, 1), lambda: images))

    return {shape: graph(*shape) for shape in ((64, 96), (96, 144), (128, 192))}


def test_it_fits_where_it_is_said_to(measured):
    large, medium, small = (measured[shape] for shape in ((128, 192), (96, 144), (64, 96)))
    peak = medium.peak_activation()[0]
    chip = replace(get_chip("katana"), activations_max_bytes=peak)
    (problem,) = memory_problems(large, chip, (128, 192), 16)
    assert problem.endswith("(they fit at 96x144)")
    assert "of activations alive at once, katana has" in problem
    assert memory_problems(medium, chip, (96, 144), 16) == []
    chip = replace(chip, activations_max_bytes=peak - 1)
    (problem,) = memory_problems(large, chip, (128, 192), 16)
    assert problem.endswith("(they fit at 64x96)")
    assert memory_problems(small, chip, (64, 96), 16) == []
    chip = replace(chip, activations_max_bytes=100)
    (problem,) = memory_problems(large, chip, (128, 192), 16)
    assert problem.endswith("(they fit at no multiple of 16 with the aspect of 128x192)")


def test_weights_fit_at_no_image_size(measured):
    graph = measured[64, 96]
    chip = replace(get_chip("katana"), weights_max_bytes=100, activations_max_bytes=100)
    weights, activations = memory_problems(graph, chip, (64, 96), 16)
    assert weights.startswith("weights: ") and weights.endswith("(they fit at no image size)")
    assert "activations" in activations
    assert apart_from_memory(graph, chip) == []


def test_other_problems_are_told_apart(measured):
    chip = get_chip("katana")
    ops = {name: rule for name, rule in chip.ops.items() if name != "LOGISTIC"}
    chip = replace(chip, ops=ops, weights_max_bytes=100)
    problems = apart_from_memory(measured[64, 96], chip)
    assert {violation.problem.split()[0] for violation in problems} == {"LOGISTIC"}
    assert len(memory_problems(measured[64, 96], chip, (64, 96), 16)) == 1
