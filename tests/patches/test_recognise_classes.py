"""Classes told by what they do."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

from synet import layers
from synet.patches.recognise_classes import is_concat, is_conv, is_same_head
from synet.patches.repairs.libraries import apply_library_repairs
from synet.patches.undo import Applied


@pytest.fixture(autouse=True, scope="module")
def repaired():
    """The installed yolov5 needs what setuptools no longer has."""
    applied = Applied()
    apply_library_repairs(applied)
    yield
    applied.undo()


class CBS(nn.Module):
    def __init__(self, cin, cout, size=1, step=1):
        super().__init__()
        self.a = nn.Conv2d(cin, cout, size, step, size // 2, bias=False)
        self.b = nn.BatchNorm2d(cout)
        self.c = nn.SiLU()


class TwoConvs(nn.Module):
    def __init__(self, c1, c2, k=1, s=1):
        super().__init__()
        self.a, self.b = CBS(c1, c2, k, s), CBS(c2, c2)


def test_a_convolution_with_batch_norm():
    conv = importlib.import_module("yolov5.models.common").Conv
    assert is_conv(CBS) and is_conv(conv) and is_conv(layers.Conv)


@pytest.mark.parametrize("cls", [TwoConvs, nn.Conv2d, nn.BatchNorm2d, nn.Upsample, dict, int])
def test_what_is_none(cls):
    assert not is_conv(cls)


def test_a_concatenation():
    common = importlib.import_module("yolov5.models.common")
    assert is_concat(common.Concat, layers.Cat)


@pytest.fixture(scope="module")
def yolo():
    return importlib.import_module("yolov5.models.yolo")


def test_the_head_of_yolov5_is_ours(yolo):
    assert is_same_head(yolo.Detect, layers.Detect)


def test_a_head_that_does_something_else_is_not(yolo):
    class OtherDecoding(yolo.Detect):
        def forward(self, x):
            result = super().forward(x)
            return result if self.training else (result[0] * 1.01, result[1])

    class MoreTensors(yolo.Detect):
        def __init__(self, nc=80, anchors=(), ch=(), inplace=True):
            super().__init__(nc, anchors, ch, inplace)
            self.register_buffer("anchor_grid", torch.zeros(1))

    class MoreNumbers(yolo.Detect):
        def __init__(self, nc=80, anchors=(), ch=(), inplace=True):
            super().__init__(nc + 10, anchors, ch, inplace)

    for other in (OtherDecoding, MoreTensors, MoreNumbers, yolo.Segment, nn.Conv2d):
        assert not is_same_head(other, layers.Detect)


def test_looking_leaves_random_numbers_alone(yolo):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    is_conv(CBS)
    is_same_head(yolo.Detect, layers.Detect)
    assert torch.equal(torch.rand(3), expected)


def test_a_join_that_is_built_from_more_is_another():
    class Weighted(nn.Module):
        def __init__(self, dimension=1, weights=2):
            super().__init__()

    assert not is_concat(Weighted, layers.Cat)
