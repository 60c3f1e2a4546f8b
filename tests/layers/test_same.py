"""Our padding against TensorFlow's own, number for number."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from keras_twin import draw
from torch import nn
from torch.overrides import TorchFunctionMode

from synet.export.tensorflow import import_keras
from synet.layers.conv import Conv, Conv2d, DepthwiseConv2d
from synet.layers.same import (
    conv2d_same,
    conv_transpose2d_same,
    fused_conv2d_same,
    max_pool2d_same,
    same_padding,
    stuffing_offset,
    widened,
)

BAR = 1e-4
KERNELS, STRIDES = range(1, 8), (1, 2, 3)
SIZES = ((8, 11), (13, 6), (9, 7), (12, 10), (1, 2))  # odd and even, and smaller than a kernel
every_window = pytest.mark.parametrize(("kernel", "stride"), [*product(KERNELS, STRIDES)])


@pytest.fixture(scope="module")
def tf():
    import_keras()
    import tensorflow

    return tensorflow


def nhwc(x):
    return x.permute(0, 2, 3, 1).numpy()


def same(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=BAR)


def weights(*shape):
    return draw(*shape, low=-0.5, high=0.5)


@every_window
def test_convolution_pads_as_tensorflow_does(tf, kernel, stride):
    w = weights(4, 3, kernel, kernel)
    for size in SIZES:
        x = draw(2, 3, *size)
        theirs = tf.nn.conv2d(nhwc(x), w.permute(2, 3, 1, 0).numpy(), stride, "SAME")
        same(nhwc(conv2d_same(x, w, stride=(stride, stride))), theirs.numpy())


@every_window
def test_depthwise_convolution_pads_as_tensorflow_does(tf, kernel, stride):
    w = weights(3, 1, kernel, kernel)
    strides = (1, stride, stride, 1)
    for size in SIZES:
        x = draw(2, 3, *size)
        theirs = tf.nn.depthwise_conv2d(nhwc(x), w.permute(2, 3, 0, 1).numpy(), strides, "SAME")
        same(nhwc(conv2d_same(x, w, stride=(stride, stride), groups=3)), theirs.numpy())


@every_window
def test_transposed_convolution_pads_as_tensorflow_does(tf, kernel, stride):
    w = weights(3, 4, kernel, kernel)
    for size in SIZES:
        x = draw(2, 3, *size)
        shape = (2, size[0] * stride, size[1] * stride, 4)
        theirs = tf.nn.conv2d_transpose(
            nhwc(x), w.permute(2, 3, 1, 0).numpy(), shape, stride, "SAME"
        )
        same(nhwc(conv_transpose2d_same(x, w, stride=(stride, stride))), theirs.numpy())


@every_window
def test_max_pooling_pads_as_tensorflow_does(tf, kernel, stride):
    for size in SIZES:
        x = draw(2, 3, *size) - 10  # below zero: a padded zero would win
        theirs = tf.nn.max_pool2d(nhwc(x), kernel, stride, "SAME")
        same(nhwc(max_pool2d_same(x, kernel, stride)), theirs.numpy())


@pytest.mark.parametrize("dilation", (2, 3))
@pytest.mark.parametrize("kernel", (2, 3, 5))
def test_dilated_convolution_pads_as_tensorflow_does(tf, kernel, dilation):
    w = weights(4, 3, kernel, kernel)
    for size in SIZES[:4]:
        x = draw(1, 3, *size)
        theirs = tf.nn.conv2d(nhwc(x), w.permute(2, 3, 1, 0).numpy(), 1, "SAME", dilations=dilation)
        same(nhwc(conv2d_same(x, w, dilation=(dilation, dilation))), theirs.numpy())


def test_kernel_and_stride_of_two_numbers(tf):
    w = weights(4, 3, 2, 5)
    for size in SIZES:
        x = draw(1, 3, *size)
        theirs = tf.nn.conv2d(nhwc(x), w.permute(2, 3, 1, 0).numpy(), (2, 1), "SAME")
        same(nhwc(conv2d_same(x, w, stride=(2, 1))), theirs.numpy())


def test_a_bias_is_added():
    x, w, bias = draw(1, 3, 8, 8), weights(4, 3, 3, 3), draw(4)
    for function in (conv2d_same, conv_transpose2d_same):
        kernel = w if function is conv2d_same else w.transpose(0, 1)
        difference = function(x, kernel, bias, (2, 2)) - function(x, kernel, None, (2, 2))
        torch.testing.assert_close(difference, bias.view(1, 4, 1, 1).expand_as(difference))


def test_the_odd_pixel_goes_after_the_image():
    assert same_padding(320, 3, 2) == (0, 1)
    assert same_padding(323, 3, 2) == (1, 1)
    assert same_padding(240, 6, 2) == (2, 2)
    assert same_padding(240, 2, 1) == (0, 1)
    assert same_padding(7, 1, 3) == (0, 0)
    assert same_padding(10, 3, 1, 2) == (2, 2)


# --- at no cost where torch can pad by itself ------------------------------------------------


@contextmanager
def pads():
    """The calls of ``F.pad``, which copies the image."""
    calls = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is F.pad:
                calls.append(args[1])
            return func(*args, **(kwargs or {}))

    with Watch():
        yield calls


def test_the_watch_sees_a_pad():
    with pads() as calls:
        F.pad(draw(1, 1, 4, 4), (0, 1, 0, 1))
    assert calls == [(0, 1, 0, 1)]


@pytest.mark.parametrize("layer", [Conv2d, lambda c, _, k, s: DepthwiseConv2d(c, k, s)])
@pytest.mark.parametrize("size", [(240, 320), (241, 323)])
def test_stride_1_with_an_odd_kernel_never_pads(layer, size):
    with pads() as calls:
        for kernel in (1, 3, 5, 7):
            layer(1, 1, kernel, 1)(draw(1, 1, *size))
    assert calls == []


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padded"),
    [
        ((240, 320), 3, 2, (0, 1, 0, 1)),
        ((241, 323), 3, 2, None),
        ((241, 320), 3, 2, (0, 1, 1, 1)),
        ((240, 320), 6, 2, None),
        ((240, 320), 1, 2, None),
        ((240, 321), 1, 3, None),
        ((240, 320), 2, 1, (0, 1, 0, 1)),
        ((240, 320), 4, 2, None),
    ],
)
def test_a_strided_convolution_pads_only_where_the_sides_differ(size, kernel, stride, padded):
    x = draw(1, 1, *size)
    with pads() as calls:
        Conv2d(1, 1, kernel, stride)(x)
        Conv(1, 1, kernel, stride).eval()(x)
    assert calls == ([padded] * 2 if padded else [])


def test_transposed_convolution_never_pads():
    with pads() as calls:
        for kernel in KERNELS:
            conv_transpose2d_same(draw(1, 1, 7, 8), weights(1, 1, kernel, kernel))
    assert calls == []


def test_a_fused_convolution_pads_the_same_whatever_its_attribute_says():
    x, conv = draw(1, 3, 8, 10), Conv2d(3, 4, 3, 2)
    fused = nn.Conv2d(3, 4, 3, 2, padding=1)
    fused.load_state_dict(conv.state_dict())
    torch.testing.assert_close(fused_conv2d_same(fused, x), conv(x))
    assert not torch.allclose(fused(x), conv(x))


# --- torch's own padding as TensorFlow's ------------------------------------------------------


@pytest.mark.parametrize("size", (7, 8, 9, 12, 13))
@every_window
def test_a_widened_kernel_looks_where_torchs_does(kernel, stride, size):
    x, w = draw(1, 1, size, size), weights(1, 1, kernel, kernel)
    for padding in range(kernel // 2 + 1):
        theirs = F.conv2d(x, w, None, stride, padding)
        form = widened(size, kernel, stride, padding, 7)
        if form is None:
            continue
        large, offset = form
        around = (offset, large - kernel - offset) * 2
        ours = conv2d_same(x, F.pad(w, around), stride=(stride, stride))
        torch.testing.assert_close(ours[:, :, : theirs.shape[2], : theirs.shape[3]], theirs)


def test_what_a_widened_kernel_costs():
    assert widened(240, 3, 2, 1, 7) == (4, 0)
    assert widened(241, 3, 2, 1, 7) == (3, 0)
    assert widened(240, 3, 1, 1, 7) == (3, 0)
    assert widened(240, 2, 1, 0, 7) == (2, 0)
    assert widened(240, 7, 2, 3, 7) is None  # eight pixels
    assert widened(240, 3, 1, 2, 7) is None  # more windows than pixels


def test_zeros_between_the_pixels():
    assert [stuffing_offset(2, 2, 0, 0), stuffing_offset(4, 2, 1, 0)] == [1, 1]
    assert [stuffing_offset(3, 2, 1, 1), stuffing_offset(4, 4, 0, 0)] == [0, 2]
    assert stuffing_offset(3, 2, 0, 0) is None
