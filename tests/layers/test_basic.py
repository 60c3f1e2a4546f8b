from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from keras_twin import Call, assert_same, draw, layers
from torch import nn

import synet.base
import synet.katana
import synet.layers
from synet.layers import (
    Add,
    BatchNorm,
    Cat,
    GlobalAvgPool,
    Grayscale,
    Linear,
    MaxPool2d,
    ReLU,
    Upsample,
)

SIZES = ((8, 10), (7, 9))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "module",
    [
        *(ReLU(), ReLU(None), ReLU(3.0), Upsample(), Upsample(3), GlobalAvgPool()),
        *(MaxPool2d(2, 2), MaxPool2d(3), MaxPool2d(3, 2), MaxPool2d(4), MaxPool2d(5), MaxPool2d(9)),
        *(BatchNorm(3), Grayscale()),
    ],
    ids=repr,
)
def test_keras_equals_torch(module, size):
    assert_same(module, draw(1, 3, *size, low=-8, high=8))


def test_linear():
    assert_same(Linear(6, 3), draw(2, 6))


def test_relu_clips():
    x = torch.tensor([-1.0, 2.0, 5.0, 9.0])
    assert ReLU()(x).tolist() == [0, 2, 5, 6]
    assert ReLU(None)(x).tolist() == [0, 2, 5, 9]
    assert ReLU(4.0)(x).tolist() == [0, 2, 4, 4]


@pytest.mark.parametrize("kernel", (3, 5, 9, 13))
def test_a_large_window_is_exactly_a_chain_of_small_ones(kernel):
    x = draw(1, 2, 16, 19)
    assert torch.equal(MaxPool2d(kernel)(x), F.max_pool2d(x, kernel, 1, kernel // 2))
    pools = layers(assert_same(MaxPool2d(kernel), x), "MaxPooling2D")
    assert [pool.pool_size for pool in pools] == [(3, 3)] * ((kernel - 1) // 2)
    assert {pool.padding for pool in pools} == {"same"}


def test_upsampling_by_a_whole_factor_repeats_pixels():
    x = draw(1, 2, 3, 4)
    assert torch.equal(Upsample(2)(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


# --- several inputs ---------------------------------------------------------------------------


def test_cat_of_channels():
    pair = [draw(1, 2, 7, 9), draw(1, 3, 7, 9, seed=1)]
    assert torch.equal(Cat()(pair), torch.cat(pair, 1))
    assert_same(Cat(), pair)


def test_cat_cuts_to_the_smallest_image():
    pair = [draw(1, 2, 8, 9), draw(1, 3, 7, 10, seed=1)]
    joined = Cat()(pair)
    assert joined.shape == (1, 5, 7, 9)
    assert torch.equal(joined[:, :2], pair[0][:, :, :7])
    assert torch.equal(joined[:, 2:], pair[1][:, :, :, :9])
    assert_same(Cat(), pair)


def test_cat_along_another_axis_cuts_nothing():
    pair = [draw(1, 2, 7, 9), draw(1, 2, 7, 4)]
    assert Cat(3)(pair).shape == (1, 2, 7, 13)
    assert_same(Cat(3), pair)


def test_add():
    three = [draw(1, 2, 8, 9, seed=i) for i in range(3)]
    assert torch.equal(Add()(three), three[0] + three[1] + three[2])
    assert_same(Add(), three)
    assert_same(Add(), [draw(1, 2, 8, 9), draw(1, 2, 7, 10, seed=1)])


def test_images_of_one_size_are_not_sliced():
    model = assert_same(Cat(), [draw(1, 2, 7, 9), draw(1, 3, 7, 9)])
    assert [type(layer).__name__ for layer in model.layers if layer.output.shape[-1] == 5] == [
        "Concatenate"
    ]
    assert len(model.layers) == 3


# --- grayscale --------------------------------------------------------------------------------


def test_one_channel_passes_through_grayscale():
    x = draw(1, 1, 7, 9)
    assert Grayscale()(x) is x
    model = assert_same(nn.Sequential(Grayscale(), nn.ReLU6()), x)
    assert len(model.layers) == 2


def test_grayscale_is_opencvs():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    ours = Grayscale()(x)[0, 0].numpy()
    assert np.abs(ours - cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).max() <= 0.51


def test_global_average_pooling_keeps_four_dimensions():
    x = draw(1, 3, 7, 9)
    torch.testing.assert_close(GlobalAvgPool()(x), F.adaptive_avg_pool2d(x, 1))
    head = nn.Sequential(GlobalAvgPool(), nn.Flatten(), Linear(3, 2))
    assert_same(head, x)


# --- the modules that list them ----------------------------------------------------------------


@pytest.mark.parametrize("module", [synet.base, synet.katana, synet.layers])
def test_what_a_module_lists_it_has(module):
    assert module.__all__ == sorted(module.__all__, key=lambda name: (name.islower(), name))
    for name in module.__all__:
        assert hasattr(module, name)


def test_katana_lists_only_what_katana_runs():
    missing = set(synet.layers.__all__) - set(synet.katana.__all__)
    assert missing == {"ConvTranspose2d"}


def test_a_function_of_two_outputs():
    assert_same(Call(lambda x: (ReLU()(x), GlobalAvgPool()(x))), draw(1, 3, 7, 9))
