"""A fork's calls of its own Conv, whatever it calls the parameters."""

from __future__ import annotations

import pytest
from torch import nn

from synet.errors import ChipError
from synet.layers import Conv, InvertedResidual
from synet.layers.binding import ConvArguments, adopt, conv_arguments


@pytest.fixture
def adopted():
    undo = []
    yield lambda cls: undo.append(adopt(cls))
    for forget in reversed(undo):
        forget()


def bound(*args, **kwargs) -> ConvArguments:
    return conv_arguments(args, kwargs)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((3, 8), ConvArguments(3, 8)),
        ((3, 8, 3, 2, None, 1, False), ConvArguments(3, 8, 3, 2, act=False)),  # up to v6.2
        ((3, 8, 3, 1, None, 1, 2, False), ConvArguments(3, 8, 3, 1, d=2, act=False)),  # v7.0
        ((3, 8, 3, 1, None, 1, nn.SiLU()), ConvArguments(3, 8, 3)),
        ((3, 8, 3, 1, None, 1, nn.Identity()), ConvArguments(3, 8, 3, act=False)),
    ],
)
def test_the_orders_of_yolo(args, expected):
    assert bound(*args) == expected


def test_other_names_and_another_order(adopted):
    class BaseConv(nn.Module):
        def __init__(self, in_channels, out_channels, ksize, stride, groups=1, bias=False, act=""):
            super().__init__()

    adopted(BaseConv)
    assert bound(3, 8, 3, 2, 1) == ConvArguments(3, 8, 3, 2, g=1, act=True)
    assert bound(8, 8, ksize=3, stride=1, groups=8, act="linear").g == 8
    assert bound(8, 8, 1, 1, act="linear").act is False and bound(8, 8, 1, 1, act="silu").act
    with pytest.raises(ChipError, match=r"Conv\(bias=True\): .* has no 'bias'; leave it out"):
        bound(8, 8, 1, 1, bias=True)
    conv = Conv(8, 8, ksize=5, stride=2)
    assert conv.conv.kernel_size == (5, 5) and conv.conv.stride == (2, 2)
    assert InvertedResidual(8, 8, 2).depthwise.conv.groups == 32  # ours go on as they do


def test_names_that_nobody_knows_count_by_their_place(adopted):
    class Strange(nn.Module):
        def __init__(self, here, there, size=1, step=1):
            super().__init__()

    adopted(Strange)
    assert bound(3, 8, step=2, size=3) == ConvArguments(3, 8, 3, 2)


def test_a_fork_of_yolo_changes_nothing_and_others_are_forgotten():
    class Plain(nn.Module):
        def __init__(self, c1, c2, k=1, s=1, p=None, g=1, d=1, act=True):
            super().__init__()

    class Named(nn.Module):
        def __init__(self, cin, cout, kernel=1):
            super().__init__()

    adopt(Plain)()
    forget = adopt(Named)
    assert bound(1, 2, kernel=3).k == 3
    forget()
    with pytest.raises(TypeError):
        bound(1, 2, kernel=3)
