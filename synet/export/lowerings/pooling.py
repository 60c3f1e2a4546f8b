"""Pooling, and what is left of a whole image: images, stored NHWC."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from synet.export.lowerings.convolution import convolution, cut, lower_widened, widened_axes
from synet.export.lowerings.padding import replicated, tensorflow_same
from synet.export.proxy import NCHW, KerasProxy
from synet.export.table import as_image, kit, layer_name, lowers, pair, settle
from synet.layers.same import max_pool2d_same


@lowers("max_pool2d")
def _max_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> KerasProxy:
    if return_indices or pair(dilation) != (1, 1):
        raise ValueError(f"return_indices={return_indices}, dilation={dilation}")
    kernel = pair(kernel_size)
    stride, padding = pair(stride) if stride else kernel, pair(padding)
    x = as_image(x)
    sides, sizes = _pool_sides(x, kernel, stride, padding, ceil_mode)
    before = tensorflow_same(x, kernel, stride, (1, 1))[::2]
    covered = all(n <= -(-m // s) for n, m, s in zip(sizes, x.shape[2:], stride, strict=True))
    if before == padding and covered:
        return cut(_pooled(x.tensor, kernel, stride, "same"), sizes)
    # With stride 1 'same' has a window about every pixel: torch's are among them.
    first = [(k - 1) // 2 - p for k, p in zip(kernel, padding, strict=True)]
    last = [f + (n - 1) * s for f, n, s in zip(first, sizes, stride, strict=True)]
    if min(first) >= 0 and all(n < m for n, m in zip(last, x.shape[2:], strict=True)):
        y = _pooled(x.tensor, kernel, (1, 1), "same")
        rows, columns = (slice(f, n + 1, s) for f, n, s in zip(first, last, stride, strict=True))
        return KerasProxy(y[:, rows, columns], NCHW)
    # A window that leaves the image holds its border: repeating that cannot change a maximum.
    y = replicated(x.tensor, [(0, 0), sides[:2], sides[2:], (0, 0)])
    return cut(_pooled(y, kernel, stride, "valid"), sizes)


def _pooled(x: Any, kernel: tuple[int, int], stride: tuple[int, int], mode: str) -> Any:
    keras = kit()

    return keras.layers.MaxPooling2D(kernel, stride, mode, name=layer_name("max_pool2d"))(x)


@lowers(max_pool2d_same)
def _max_pool2d_same(x: KerasProxy, kernel_size: int, stride: int = 1) -> KerasProxy:
    return KerasProxy(_pooled(as_image(x).tensor, pair(kernel_size), pair(stride), "same"), NCHW)


def _pool_sides(
    x: KerasProxy, kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Pixels that torch's pooling looks at beyond each side, and its output size."""
    sides, sizes = [], []
    for n, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True):
        size = (n + 2 * p - k) // s + 1
        if ceil_mode and (n + 2 * p - k) % s and size * s < n + p:
            size += 1  # torch drops a last window that would start in the padding
        sizes.append(size)
        sides += [p, max((size - 1) * s + k - n - p, 0)]
    return tuple(sides), tuple(sizes)


@lowers("avg_pool2d", torch._C._nn.avg_pool2d)
def _avg_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> KerasProxy:
    """A mean is a depthwise convolution whose weights are all the same."""
    keras = kit()

    kernel = pair(kernel_size)
    stride, padding = pair(stride) if stride else kernel, pair(padding)
    if divisor_override or (any(padding) and not count_include_pad):
        raise ValueError("only the plain mean, padding included")
    x = as_image(x)
    sides, sizes = _pool_sides(x, kernel, stride, padding, ceil_mode)
    if sides[1::2] != padding and ceil_mode:
        raise ValueError("ceil_mode with a window that leaves the image")
    if kernel == tuple(x.shape[2:]) and not any(padding):
        return mean_of_image(x)
    if widened_axes(x.shape[2:], kernel, stride, padding) and stride[0] == stride[1]:
        channels = x.shape[1]
        weight = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
        return lower_widened(x, weight, None, stride, padding, channels)
    x = settle(KerasProxy(x.tensor, NCHW, (padding[0],) * 2 + (padding[1],) * 2))
    y = keras.layers.AveragePooling2D(kernel, stride, "valid", name=layer_name("avg_pool2d"))(
        x.tensor
    )
    return KerasProxy(y, NCHW)


TILE = 3  # pixels; a stride that small chips have too


def mean_of_image(x: KerasProxy, total: bool = False) -> KerasProxy:
    """Mean, or sum, of each channel: (N, C, H, W) to (N, C, 1, 1), at every image size.

    Windows as large as their stride tile the image, and the zeros that 'same' adds at its border
    add nothing to a sum: a few convolutions in a row, which every chip has, leave one pixel.
    """
    tensor, channels = as_image(x).tensor, x.shape[1]
    while tensor.shape[1:3] != (1, 1) or tensor is x.tensor:
        height, width = tensor.shape[1:3]
        share = 1.0 if total else (-(-height // TILE) * -(-width // TILE)) / (height * width)
        kernel = tuple(min(n, TILE) for n in (height, width))
        weights = np.full((channels, 1, *kernel), share, np.float32)
        tensor = convolution(tensor, weights, None, (TILE, TILE), depthwise=True, name="mean")
    return KerasProxy(tensor, NCHW)


def max_of_image(x: KerasProxy) -> KerasProxy:
    """Largest value of each channel: (N, C, H, W) to (N, C, 1, 1)."""
    tensor = as_image(x).tensor
    while tensor.shape[1:3] != (1, 1):
        tensor = _pooled(tensor, tuple(min(n, 2) for n in tensor.shape[1:3]), (2, 2), "same")
    return KerasProxy(tensor, NCHW)


def max_of_channels(x: KerasProxy) -> KerasProxy:
    """Largest value of each pixel: (N, C, H, W) to (N, 1, H, W), by pooling over the channels."""
    keras = kit()

    n, height, width, channels = x.tensor.shape
    tensor = keras.ops.reshape(x.tensor, (n, height * width, channels, 1))
    while tensor.shape[2] > 1:
        tensor = _pooled(tensor, (1, 2), (1, 2), "same")
    return KerasProxy(keras.ops.reshape(tensor, (n, height, width, 1)), NCHW)
