"""Pooling, and what is left of a whole image: images, stored NHWC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synet.export.lowerings.convolution import convolution, cut
from synet.export.lowerings.means import along, shared, sums
from synet.export.lowerings.padding import replicated, tensorflow_same
from synet.export.lowerings.windows import Windows, whole
from synet.export.proxy import NCHW, KerasProxy, as_image, settle
from synet.export.registry import kit, layer_name, lowers, rule_of, spelling, whole_pair
from synet.layers.same import max_pool2d_same


@lowers("max_pool2d")
def max_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> KerasProxy:
    if return_indices or whole_pair(dilation) != (1, 1):
        raise ValueError(f"return_indices={return_indices}, dilation={dilation}")
    kernel = whole_pair(kernel_size)
    stride, padding = whole_pair(stride) if stride else kernel, whole_pair(padding)
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
def _max_pool2d_same(x: KerasProxy, kernel: int, stride: int = 1) -> KerasProxy:
    y = _pooled(as_image(x).tensor, whole_pair(kernel), whole_pair(stride), "same")
    return KerasProxy(y, NCHW)


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


@lowers("avg_pool2d")
def _avg_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> KerasProxy:
    kernel = whole_pair(kernel_size)
    stride, padding = whole_pair(stride) if stride else kernel, whole_pair(padding)
    x = as_image(x)
    _, counts = _pool_sides(x, kernel, stride, padding, ceil_mode)
    if kernel == tuple(x.shape[2:]) and not any(padding) and not divisor_override:
        return mean_of_image(x)
    axes = zip(x.shape[2:], kernel, stride, padding, counts, strict=True)
    windows = [Windows(*axis) for axis in axes]
    if divisor_override:
        return mean_of_windows(x, windows, kernel[0] * kernel[1] / divisor_override)
    lengths = [_lengths(each, count_include_pad) for each in windows]
    return KerasProxy(shared(mean_of_windows(x, windows).tensor, lengths, kernel), NCHW)


def _lengths(windows: Windows, padded: bool) -> np.ndarray:
    """Pixels that torch divides the sum of each window by."""
    first = np.arange(windows.count) * windows.stride - windows.before
    last = np.minimum(first + windows.kernel, windows.size + windows.before)
    return last - first if padded else np.minimum(last, windows.size) - np.maximum(first, 0)


def mean_of_windows(x: KerasProxy, windows: Sequence[Windows], share: float = 1.0) -> KerasProxy:
    """The mean of each window, zeros around the image included, times `share`."""
    kernel, stride = (tuple(getattr(w, key) for w in windows) for key in ("kernel", "stride"))
    y = sums(x.tensor, windows, share / (kernel[0] * kernel[1]))
    if y is None:  # whether the chip has such a pool will show
        sides = tuple(side for each in windows for side in (each.before, each.behind))
        x = settle(KerasProxy(x.tensor, NCHW, sides))
        pool = kit().layers.AveragePooling2D
        y = pool(kernel, stride, "valid", name=layer_name("avg_pool2d"))(x.tensor)
        y = y if share == 1 else kit().ops.multiply(y, share)
    return KerasProxy(y, NCHW)


def mean_of_image(x: KerasProxy, total: bool = False) -> KerasProxy:
    """Mean, or sum, of each channel: (N, C, H, W) to (N, C, 1, 1), at every image size.

    Windows as large as their stride tile the image, and the zeros that 'same' adds at its border
    add nothing to a sum: a few convolutions in a row, which every chip has, leave one pixel.
    """
    tensor, channels = as_image(x).tensor, x.shape[1]
    tile = max(spelling().strides_within(rule_of("DEPTHWISE_CONV_2D")))
    while tensor.shape[1:3] != (1, 1) or tensor is x.tensor:
        height, width = tensor.shape[1:3]
        share = 1.0 if total else (-(-height // tile) * -(-width // tile)) / (height * width)
        kernel = tuple(min(n, tile) for n in (height, width))
        weights = np.full((channels, 1, *kernel), share, np.float32)
        tensor = convolution(tensor, weights, None, (tile, tile), depthwise=True, name="mean")
    return KerasProxy(tensor, NCHW)


def mean_of_axis(tensor: Any, axis: int, total: bool = False) -> Any:
    """Mean, or sum, over the height (1) or the width (2) of a stored image."""
    size = tensor.shape[axis]
    if size == 1:
        return tensor
    if rule_of("SUM" if total else "MEAN") or not rule_of("DEPTHWISE_CONV_2D"):
        return getattr(kit().ops, "sum" if total else "mean")(tensor, axis=axis, keepdims=True)
    return sums(tensor, along(tensor, axis, whole(size)), 1 if total else 1 / size)


def max_of_axis(tensor: Any, axis: int) -> Any:
    """Maximum over the height (1) or the width (2) of a stored image."""
    step = (2, 1) if axis == 1 else (1, 2)
    while tensor.shape[axis] > 1:
        tensor = _pooled(tensor, step, step, "same")
    return tensor


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
