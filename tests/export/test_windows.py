"""Pools, means and convolutions beyond what a chip has: torch's numbers, in what it has."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from keras_twin import Call, assert_same, draw
from torch import nn

from synet.chips import get_chip
from synet.chips.record import OpRule
from synet.export.lowerings.windows import Windows, fit
from synet.export.tensorflow import to_float
from synet.safety.recorder import Recorder
from synet.system.errors import ExportError
from synet.tflite.graph import read_graph
from synet.verdict.check import problems_of

# the last map of 256x320, and an eighth of 241x323
SIZES = {"katana": ((8, 10), (31, 41)), "sabre": ((31, 41),)}
W = {k: draw(6, 4, k, k, low=-1, high=1) for k in (1, 2, 3, 5, 6, 7)}
EACH = draw(4, 1, 3, 3, low=-1, high=1)
PAIRS = draw(6, 2, 3, 3, low=-1, high=1)


def convolved(kernel, stride=1, padding=0, dilation=1):
    return Call(lambda x: F.conv2d(x, W[kernel], None, stride, padding, dilation))


def checked(module, x, chip):
    recorder = Recorder(get_chip(chip))
    with torch.no_grad():
        with recorder:
            output = module.eval()(x)
        recorder.give(output)
    return recorder


def judged(model, chip):
    """What the chip's record says of the exported file, but for its numbers' types."""
    graph = read_graph(to_float(model))
    found = [p for op in graph.operators for p, _ in problems_of(graph, op, get_chip(chip))]
    return [problem for problem in found if "float32" not in problem]


POOLS = {
    **{f"to {size}, {kind.__name__}": kind(size)
       for kind in (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
       for size in ((None, 1), (1, None), 7, 2, (7, 2), (3, None), 5, (8, 8), 1)},
    **{f"pool {form}": nn.AvgPool2d(*form)
       for form in ((2, 1), (5,), (6,), (7,), (8,), ((1, 4),), (6, 3), (3, 2, 1, True, False),
                    (3, 1, 1, False, False), (4, 4, 2), (2, 2, 0, True), (9, 9, 4, True, False))},
    "of three": nn.AvgPool2d(2, divisor_override=3),
    "as its own height": Call(lambda x: F.adaptive_avg_pool2d(x, (x.shape[2], 1))),
    **{name: Call(function) for name, function in {
        "mean(2)": lambda x: x.mean(2),
        "mean(2, True)": lambda x: x.mean(dim=2, keepdim=True),
        "mean((2, 3))": lambda x: x.mean((2, 3)),
        "mean(3)": lambda x: x.mean(3),
        "sum(-1)": lambda x: x.sum(-1),
        "amax(2)": lambda x: x.amax(2),
        "max(3)": lambda x: x.max(3, keepdim=True)[0],
        "rows": lambda x: x.flatten(2).mean(2),
        "most of rows": lambda x: x.flatten(2).max(-1)[0],
    }.items()},
}  # fmt: skip
CONVOLUTIONS = {
    "dilated": convolved(3, 1, 2, 2),
    "dilated by three": convolved(3, 1, 3, 3),
    "dilated, no padding": convolved(3, 1, 0, 2),
    "dilated, striding": convolved(3, 2, 2, 2),
    "dilated, 2x2": convolved(2, 1, "same", 4),
    "patches": convolved(6, 6),
    "patches of 5": convolved(5, 5),
    "stride 4": convolved(7, 4, 3),
    "stride 4 of pixels": convolved(1, 4),
    "stride 6, wide padding": convolved(1, 6, 3),
    "stride 5 by 2": convolved(3, (5, 2), 1),
    "each, dilated": Call(lambda x: F.conv2d(x, EACH, None, 1, 2, 2, 4)),
    "each, stride 6": Call(lambda x: F.conv2d(x, EACH, None, 6, 1, 1, 4)),
    "groups, dilated": Call(lambda x: F.conv2d(x, PAIRS, draw(6), 1, 2, 2, 2)),
    "dilated twice": Call(
        lambda x: F.conv2d(x, W[3], None, 1, 2, 2) + F.conv2d(x, W[3], None, 1, 2, 2)
    ),
    "behind zeros": Call(lambda x: F.conv2d(F.pad(x, (2, 2, 2, 2)), W[3], None, 1, 0, 2)),
}


# What differs on Sabre are means along one axis: all other pools take the same way there.
EVERY = [
    *[("katana", name) for name in [*POOLS, *CONVOLUTIONS]],
    *[("sabre", name) for name in [*CONVOLUTIONS, "to (None, 1), AdaptiveAvgPool2d", "mean(3)"]],
    *[pytest.param("sabre", name, marks=pytest.mark.slow) for name in POOLS],
]


@pytest.mark.parametrize(("chip", "name"), EVERY)
def test_windows_of_every_kind_give_torchs_numbers(name, chip):
    module = (POOLS | CONVOLUTIONS)[name]
    for size in SIZES[chip]:
        x = draw(1, 4, *size)
        assert [problem.text for problem in checked(module, x, chip).problems] == []
        model = assert_same(module, x, chip=chip)
    assert judged(model, chip) == []


@pytest.mark.parametrize("chip", ["katana", "sabre"])
@pytest.mark.parametrize(
    "module",
    [
        nn.AvgPool2d(9, 1, 4),
        nn.MaxPool2d(5, 5),
        convolved(5, 1, 4, 2),
        convolved(7, 1, 3, 3),
        convolved(3, 2, 1),
        nn.AdaptiveAvgPool2d(9),
        nn.AdaptiveMaxPool2d(2, return_indices=True),
        Call(lambda x: x.softmax(3)),
        Call(lambda x: x.flatten(1).mean(1)),
        Call(lambda x: x.max(1, keepdim=True)[1]),
        Call(lambda x: x.permute(0, 2, 3, 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_the_check_passes_the_export_makes(module, chip):
    """And what it does not pass, the export does not make, or the chip would not run."""
    x = draw(1, 4, 31, 41)
    said = checked(module, x, chip).problems
    try:
        made = judged(assert_same(module, x, chip=chip), chip)
    except ExportError as error:
        made = [str(error)]
    assert bool(said) == bool(made), (said, made)


def test_a_chip_of_other_limits_gets_other_windows():
    """Limits are the chip's: its file says them."""
    katana = get_chip("katana")
    ops = {**katana.ops, "DEPTHWISE_CONV_2D": OpRule(kernel_max=7, strides=(1, 6))}
    far = dataclasses.replace(katana, ops=ops)
    for chip, kernels in ((katana, [(3, 3), (2, 2)]), (far, [(6, 6)])):
        recorder = Recorder(chip)
        with torch.no_grad(), recorder:
            nn.AvgPool2d(6)(draw(1, 4, 18, 18))
        assert [options["kernel"] for _, options in recorder.operations] == kernels
        assert recorder.problems == []


def test_a_fit_looks_where_torch_looks():
    assert fit(Windows(18, 6, 6, 0, 3), 6, 7).step == 1
    found = fit(Windows(18, 6, 6, 0, 3), 2, 7)
    assert (found.kernel, found.offset, found.first, found.step) == (6, 0, 1, 3)
    assert fit(Windows(18, 6, 6, 0, 3), 3, 7) is None
    assert fit(Windows(18, 9, 1, 4, 18), 1, 7) is None
