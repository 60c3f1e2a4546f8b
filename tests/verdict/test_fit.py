"""What does not fit a chip, and the image size or the channels at which it would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_heads as heads

from synet.chips import get_chip
from synet.export.convert import to_keras
from synet.export.tensorflow import import_keras, to_float, to_int8
from synet.verdict.fit import fitting_channels, largest_shape, memory_problems, row_of
from synet.verdict.judge import judge


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
def network():
    return heads.network(heads.Anchors())


@pytest.fixture(scope="module")
def made(network):
    """A model's files, by image shape."""

    def content(*shape):
        images = [np.zeros((*shape, 1), np.float32)]
        return to_int8(to_float(to_keras(network, shape, 1)), lambda: images)

    return {shape: content(*shape) for shape in ((64, 96), (96, 144), (128, 192))}


def in_lpmem(chip, size):
    """The chip with that much room for activations, and its weights elsewhere."""
    if chip.compiler is None:
        return replace(chip, activations_max_bytes=size)
    compiler = replace(chip.compiler, weights=("lpmem",))
    memories = {**compiler.memories, "vmem": replace(compiler.memories["vmem"], bytes=size)}
    return replace(chip, activations_max_bytes=size, compiler=replace(compiler, memories=memories))


@pytest.mark.parametrize("name", ["katana", "sabre"])
def test_it_fits_where_it_is_said_to(made, name):
    chip = in_lpmem(get_chip(name), 1)

    def problems(size, shape):
        judged = judge(made[shape], in_lpmem(chip, size))
        assert judged.operations == ()
        return memory_problems(judged, shape, 16, made.__getitem__)

    peak = {shape: judge(made[shape], chip).peak_bytes for shape in made}
    (problem,) = problems(peak[96, 144], (128, 192))
    assert problem.endswith("(they fit at 96x144)")
    assert f"of activations alive at once, {name} has" in problem
    assert problems(peak[96, 144], (96, 144)) == []
    (problem,) = problems(peak[96, 144] - 1, (128, 192))
    assert problem.endswith("(they fit at 64x96)")
    assert problems(peak[64, 96], (64, 96)) == []


def test_it_fits_at_no_size(made):
    judged = judge(made[128, 192], replace(get_chip("katana"), activations_max_bytes=100))
    (problem,) = memory_problems(judged, (128, 192), 16, made.__getitem__)
    assert problem.endswith("(they fit at no multiple of 16 with the aspect of 128x192)")


def test_weights_fit_at_no_image_size(made):
    chip = replace(get_chip("katana"), weights_max_bytes=100, activations_max_bytes=100)
    judged = judge(made[64, 96], chip)
    weights, activations = memory_problems(judged, (64, 96), 16, made.__getitem__)
    assert weights.startswith("weights: ") and weights.endswith("(they fit at no image size)")
    assert "activations" in activations
    assert judged.operations == ()


def test_other_problems_are_told_apart(made):
    chip = get_chip("katana")
    ops = {name: rule for name, rule in chip.ops.items() if name != "LOGISTIC"}
    judged = judge(made[64, 96], replace(chip, ops=ops, weights_max_bytes=100))
    assert {violation.problem.split()[0] for violation in judged.operations} == {"LOGISTIC"}
    assert len(memory_problems(judged, (64, 96), 16, made.__getitem__)) == 1


DEFINITION = {
    "backbone": [[-1, 1, "Conv", [16]], [-1, 1, "Conv", [40]], [-1, 1, "Conv", [8]]],
    "head": [[[-1, 1], 1, "Concat", [1]], [-1, 1, "Conv", [8]]],
}


def file_of(definition):
    """Rows of convolutions and concatenations, as a YOLO reads them, in a file."""
    keras = import_keras()
    image = keras.Input((48, 64, 3), batch_size=1, name="image")
    outputs = []
    for row, (source, _, kind, args) in enumerate(definition["backbone"] + definition["head"]):
        sources = [outputs[i] for i in (source if isinstance(source, list) else [source]) if row]
        if kind == "Concat":
            y = keras.layers.Concatenate(name=f"model.{row}.cat")(sources)
        else:
            conv = keras.layers.Conv2D(args[0], 3, padding="same", name=f"model.{row}.conv")
            y = keras.layers.ReLU(6, name=f"model.{row}.act")(conv(*sources or [image]))
        outputs.append(y)
    last = keras.layers.Conv2D(8, 3, 3, name="model.5.conv")(outputs[-1])
    blank = np.zeros((48, 64, 3), np.float32)
    return to_int8(to_float(keras.Model(image, last)), lambda: [blank])


@pytest.mark.parametrize("judged_by", ["compiler", "table"])
def test_fewer_channels_are_found_where_the_memory_is_full(judged_by):
    chip = in_lpmem(get_chip("sabre"), 200_000)
    if judged_by == "table":
        chip = replace(chip, compiler=None, weights_max_bytes=1 << 20)
    judged = judge(file_of(DEFINITION), chip)
    assert [violation.where for violation in judged.violations] != []
    tried = []

    def remake(definition):
        tried.append(definition)
        return file_of(definition)

    row, channels = fitting_channels(judged, DEFINITION, remake)
    assert row == 1 and 8 <= channels < 40 and channels % 8 == 0
    assert DEFINITION["backbone"][1] == [-1, 1, "Conv", [40]]  # as it was
    assert tried[-1]["backbone"][1] == [-1, 1, "Conv", [channels]]
    assert judge(file_of(tried[-1]), chip).violations == ()


def test_no_channels_help_where_the_image_alone_is_too_large():
    judged = judge(file_of(DEFINITION), in_lpmem(get_chip("sabre"), 9000))
    assert judged.memory
    assert fitting_channels(judged, DEFINITION, pytest.fail) is None


def test_the_row_of_a_layer():
    assert row_of("model.4.cv1.conv") == row_of("Softmax_3 (after model.4.conv)") == 4
    assert row_of("input") is row_of("conv2d_4") is None
