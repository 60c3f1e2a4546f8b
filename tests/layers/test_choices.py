"""What convolutions are built with: nothing is left of a choice after its block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synet.layers import Conv, Conv2d
from synet.layers.activations import CLASSES
from synet.layers.choices import DEFAULT, Choices, building_with, chosen
from synet.system.errors import UnfitError


@pytest.mark.parametrize("name", CLASSES)
def test_the_activation(name):
    with building_with(Choices(name)):
        conv, asked = Conv(3, 8), Conv(3, 8, act=nn.Mish())
        plain, default = Conv(3, 8, act=False), Conv.default_act
    assert type(conv.act) is type(asked.act) is type(default) is CLASSES[name]
    assert type(plain.act) is nn.Identity
    assert type(Conv(3, 8).act) is type(Conv.default_act) is nn.ReLU6 and chosen() is DEFAULT


def test_an_attribute_is_a_layer_of_its_own_each_time():
    assert Conv.default_act is not Conv.default_act
    assert type(Conv(3, 8).default_act) is nn.ReLU6
    Conv.default_act = nn.SiLU()
    with building_with(Choices("silu")):
        assert type(Conv.default_act) is CLASSES["silu"]
    assert type(Conv.default_act) is type(Conv(3, 8).default_act) is nn.ReLU6


@pytest.mark.parametrize(("k", "s", "d"), [(3, 2, 1), (6, 2, 1), (3, 1, 2), (1, 1, 1), (5, 3, 1)])
def test_padding_that_is_alike_on_both_sides(k, s, d):
    with building_with(Choices(pads_alike=True)):
        conv = Conv(3, 8, k, s, d=d).eval()
    assert type(conv.conv) is nn.Conv2d and type(Conv(3, 8, k, s, d=d).conv) is Conv2d
    twin = nn.Conv2d(3, 8, k, s, (d * (k - 1) + 1) // 2, d, bias=False)
    twin.load_state_dict(conv.conv.state_dict())
    x = torch.randn(1, 3, 23, 32)
    assert torch.equal(conv.conv(x), twin(x))


def test_a_fused_convolution_pads_as_it_was_built():
    x = torch.randn(1, 3, 24, 32)
    for choices in (Choices(pads_alike=True), Choices()):
        with building_with(choices):
            conv = Conv(3, 8, 3, 2).eval()
        plain = nn.Conv2d(3, 8, 3, 2, 1)
        plain.weight, plain.bias = conv.conv.weight, nn.Parameter(torch.zeros(8))
        conv.bn.eps = 0.0
        before = conv(x)
        conv.conv = plain
        torch.testing.assert_close(conv.forward_fuse(x), before)


def test_padding_of_its_own_stays_only_where_it_can():
    with building_with(Choices(pads_alike=True)):
        assert Conv(3, 8, 3, p=0).conv.padding == (0, 0)
    with pytest.raises(UnfitError, match="only 'same' padding runs on every chip"):
        Conv(3, 8, 3, p=0)
