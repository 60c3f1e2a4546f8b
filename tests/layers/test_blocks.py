from __future__ import annotations

import pytest
import torch
from keras_twin import assert_same, draw, layers, settle
from torch import nn

from synet.chips import get_chip
from synet.export.tensorflow import to_float, to_int8
from synet.layers import CSP, Head, InvertedResidual, Stem
from synet.layers.blocks import Mixer
from synet.verdict.vela import compile_for

SIZES = ((16, 20), (15, 19))
BLOCKS = {
    "plain": InvertedResidual(8, 8),
    "strided": InvertedResidual(8, 16, 2, 3),
    "wider": InvertedResidual(8, 16, 1, 2),
    "not expanded": InvertedResidual(8, 16, 2, 1),
    "fraction": InvertedResidual(8, 8, 1, 1.5),
    "5x5": InvertedResidual(8, 8, 1, 4, 5),
    "csp": CSP(8, 16, 2),
    "csp, wide": CSP(8, 12, 1, 10),
    "head": Head(8, 16),
    "head 5x5": Head(8, 16, 5),
    "stem": Stem(8, 16, 4),
    "mixer": Mixer(8, 12),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BLOCKS)
def test_keras_equals_torch(name, size):
    assert_same(settle(BLOCKS[name]), draw(1, 8, *size))


@pytest.mark.parametrize("size", SIZES)
def test_shapes(size):
    x = draw(2, 8, *size)
    half, quarter = (tuple(-(-n // d) for n in size) for d in (2, 4))
    assert InvertedResidual(8, 12)(x).shape == (2, 12, *size)
    assert InvertedResidual(8, 12, 2)(x).shape == (2, 12, *half)
    assert CSP(8, 12)(x).shape == (2, 12, *size)
    assert Head(8, 12)(x).shape == (2, 12, *size)
    assert Stem(8, 12)(x).shape == (2, 12, *quarter)


@pytest.mark.parametrize(
    ("block", "adds"),
    [
        (InvertedResidual(8, 8), True),
        (InvertedResidual(8, 8, 2), False),
        (InvertedResidual(8, 12), False),
    ],
)
def test_the_input_is_added_where_shapes_agree(block, adds):
    settle(block)
    nn.init.zeros_(block.project.bn.weight)
    nn.init.zeros_(block.project.bn.bias)
    x = draw(1, 8, 6, 6)
    assert torch.equal(block(x), x if adds else torch.zeros_like(block(x)))
    assert bool(layers(assert_same(block, x), "Add")) == adds


def test_an_inverted_residual_is_linear_at_its_end():
    block = InvertedResidual(8, 16)
    assert [type(c.act) for c in (block.expand, block.depthwise, block.project)] == [
        *(nn.ReLU6, nn.ReLU6, nn.Identity)
    ]
    assert type(InvertedResidual(8, 16, expand=1).expand) is nn.Identity


def test_hidden_channels():
    assert InvertedResidual(8, 16, expand=3).depthwise.conv.weight.shape == (24, 1, 3, 3)
    assert InvertedResidual(8, 16, 1, 2, 5).depthwise.conv.weight.shape == (16, 1, 5, 5)
    assert Stem(1, 16, 6).first.conv.out_channels == 6


def test_a_csp_block_is_as_deep_and_wide_as_told():
    block = CSP(8, 16, 3)
    assert [c.conv.weight.shape for c in block.m] == [(8, 8, 3, 3)] * 3
    assert (block.cv1.conv.out_channels, block.cv2.conv.out_channels) == (8, 8)
    assert CSP(8, 16, 1, 12).m[0].conv.weight.shape == (12, 12, 3, 3)


def test_half_of_a_csp_block_passes_the_convolutions_by():
    block = settle(CSP(8, 16))
    x = draw(1, 8, 6, 6).requires_grad_()
    nn.init.zeros_(block.m[0].bn.weight)
    block(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_joining_the_halves_of_a_csp_block_costs_nothing():
    model = assert_same(settle(CSP(32, 64, 2)), draw(1, 32, 16, 16))
    content = to_int8(to_float(model), lambda: [draw(16, 16, 32, low=0, high=1).numpy()])
    costs = compile_for(content, get_chip("sabre")).costs
    assert [cost.cycles for cost in costs if cost.op == "CONCATENATION"] == [0]
    assert {cost.op for cost in costs if cost.cycles} == {"CONV_2D"}


def test_the_second_of_a_stack_does_not_stride():
    block = InvertedResidual.repeated(8, 8, 2, 3, 5)
    assert block.add and block.depthwise.conv.stride == (1, 1)
    assert block.depthwise.conv.weight.shape == (24, 1, 5, 5)


def test_a_head_costs_a_ninth_of_a_full_convolution():
    weights = sum(p.numel() for n, p in Head(128, 128).named_parameters() if "conv" in n)
    assert weights < 128 * 128 * 9 / 8


def test_a_mixer_sees_seven_pixels_and_is_linear_at_its_end():
    mixer = Mixer(8, 12)
    assert mixer(draw(2, 8, 9, 11)).shape == (2, 12, 9, 11)
    assert mixer.depthwise.conv.weight.shape == (8, 1, 7, 7)
    assert type(mixer.project.act) is nn.Identity
