"""Convolution and transposed convolution: images, stored NHWC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.chips import OpRule
from synet.export.lowerings.padding import pads, same_or_padded, zeros_around
from synet.export.lowerings.resizing import interpolate
from synet.export.lowerings.windows import (
    Windows,
    fits,
    is_within,
    picked,
    spelled,
    tell,
    with_zeros,
)
from synet.export.proxy import NCHW, KerasProxy, as_image, as_numpy, join, settle
from synet.export.registry import context, kit, layer_name, lowers, rule_of, spelling, whole_pair
from synet.layers.same import (
    conv2d_widened,
    conv_transpose2d_same,
    conv_transpose2d_upsampled,
    same_padding,
    stuffing_offset,
    widened,
)


@lowers(torch.conv2d, keeps_padding=True)
def _conv2d(
    x: KerasProxy,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> KerasProxy:
    w, b = as_numpy(weight), None if bias is None else as_numpy(bias)
    _, per_group, *kernel = w.shape
    stride, dilation = whole_pair(stride), whole_pair(dilation)
    if x.axis(1) == 3 and groups == 1 and w.shape[2:] == stride == (1, 1) and not pads(padding):
        return KerasProxy(convolution(settle(x).tensor, w, b), x.axes)  # in whatever order
    x = x if x.is_image else as_image(settle(x))
    depthwise = groups > 1 and per_group == 1
    windows = _windows(x, kernel, stride, dilation, padding)
    rule = rule_of("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D")
    both = max(stride) > 1 < max(dilation)  # which Keras has not
    again = groups in (1, x.shape[1]) and _is_dilated_again(x.tensor, dilation)
    if rule is not None and (both or again or not is_within(rule, windows)):
        y = _other_form(x.tensor, w, b, groups, windows, rule)
        if y is not None:
            return KerasProxy(y, NCHW)
    if both:
        raise ValueError(f"stride={stride}, dilation={dilation}")
    x, mode = same_or_padded(x, kernel, stride, dilation, padding)
    options = {"stride": stride, "mode": mode, "dilation": dilation}
    return KerasProxy(_grouped(x.tensor, w, b, groups, **options), NCHW)


def _windows(
    x: KerasProxy, kernel: Sequence[int], stride: Any, dilation: Any, padding: Any
) -> list[Windows]:
    """What a convolution looks at, along both axes."""
    sides = zeros_around(x, kernel, dilation, padding)
    found = []
    for axis, (n, k, s, d) in enumerate(
        zip(x.tensor.shape[1:3], kernel, stride, dilation, strict=True)
    ):
        before, after = sides[2 * axis : 2 * axis + 2]
        count = (n + before + after - (k - 1) * d - 1) // s + 1
        if count < 1:
            raise ValueError(f"a kernel of {kernel[0]}x{kernel[1]} over {tuple(x.shape[2:])}")
        found.append(Windows(n, k, s, before, count, d))
    return found


def _is_dilated_again(x: Any, dilation: tuple[int, int]) -> bool:
    """Has another convolution looked at this image with that dilation?

    TensorFlow makes one rearrangement of the image for both, and the converter makes a dilated
    convolution only of one that has its own.
    """
    seen, key = context().dilated, (id(x), dilation)
    again = key in seen
    if max(dilation) > 1:
        seen[key] = x  # held, so that no other gets its id
    return again


def _other_form(
    x: Any,
    w: np.ndarray,
    b: np.ndarray | None,
    groups: int,
    windows: Sequence[Windows],
    rule: OpRule,
) -> Any:
    """The convolution for a chip that lacks such a stride or dilation; None where it cannot be."""
    even = groups > 1 and w.shape[1] == 1
    found = fits(windows, rule, even)
    if found is None:
        x, windows = with_zeros(x, windows)
        found = fits(windows, rule, even)
    if found is None:
        return None
    tell(w.shape[0] * w.shape[1], windows, found)
    stride = tuple(f.stride for f in found)
    y = _grouped(x, spelled(w, windows, found), b, groups, stride=stride)
    return picked(y, windows, found)


def _grouped(x: Any, w: np.ndarray, b: np.ndarray | None, groups: int, **options: Any) -> Any:
    """A convolution, or one for each group: few chips have grouped ones."""
    _, per_group, *_ = w.shape
    stride = options["stride"]
    if groups == 1 or (per_group == 1 and stride[0] == stride[1]):
        return convolution(x, w, b, depthwise=groups > 1, **options)
    parts: list[Any] = []
    for weights, start in zip(np.split(w, groups), range(0, x.shape[3], per_group), strict=True):
        rows = slice(len(parts) * len(weights), (len(parts) + 1) * len(weights))
        image = x[..., start : start + per_group]
        parts.append(convolution(image, weights, None if b is None else b[rows], **options))
    return join(parts, 3, "groups")


def convolution(
    x: Any,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: tuple[int, int] = (1, 1),
    mode: str = "same",
    dilation: tuple[int, int] = (1, 1),
    depthwise: bool = False,
    name: str = "conv2d",
) -> Any:
    """A Keras convolution with torch's weights (K, C / groups, kH, kW)."""
    keras = kit()

    out, _, *kernel = w.shape
    options = {
        "kernel_size": tuple(kernel),
        "strides": stride,
        "padding": mode,
        "dilation_rate": dilation,
        "use_bias": b is not None,
        "name": layer_name(name),
    }
    if depthwise:
        channels = x.shape[-1]
        layer = keras.layers.DepthwiseConv2D(depth_multiplier=out // channels, **options)
        kernels = w.reshape(channels, out // channels, *kernel).transpose(2, 3, 0, 1)
    else:
        layer = keras.layers.Conv2D(out, **options)
        kernels = w.transpose(2, 3, 1, 0)
    y = layer(x)
    layer.set_weights([kernels] if b is None else [kernels, b])
    return y


def widened_axes(
    sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> list[tuple[int, int]] | None:
    """Kernel size and offset for each axis (see `widened`); None where an axis has none."""
    largest = spelling().kernel_within(rule_of("CONV_2D"))
    axes = zip(sizes, kernel, stride, padding, strict=True)
    forms = [form for axis in axes if (form := widened(*axis, largest)) is not None]
    return forms if len(forms) == len(sizes) else None


def _window_count(n: int, kernel: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - kernel) // stride + 1


@lowers(conv2d_widened)
def lower_widened(
    x: KerasProxy, weight: torch.Tensor, bias: Any, stride: Any, padding: Any, groups: int
) -> KerasProxy:
    x, kernel = as_image(x), tuple(weight.shape[2:])
    stride, padding = whole_pair(stride), whole_pair(padding)
    forms = widened_axes(x.shape[2:], kernel, stride, padding)
    if forms is None:
        return _conv2d(x, weight, bias, stride, padding, 1, groups)
    around = [
        side
        for (size, offset), k in zip(forms[::-1], kernel[::-1], strict=True)
        for side in (offset, size - k - offset)
    ]
    own = [
        side
        for n, (size, _), s in zip(x.shape[2:], forms, stride, strict=True)
        for side in same_padding(n, size, s)
    ]
    y = _conv2d(KerasProxy(x.tensor, NCHW, own), F.pad(weight, around), bias, stride, 0, 1, groups)
    sizes = [
        _window_count(*axis) for axis in zip(x.shape[2:], kernel, stride, padding, strict=True)
    ]
    return cut(y.tensor, sizes)


def cut(y: Any, sizes: Sequence[int]) -> KerasProxy:
    """The first pixels of an image that has more than torch's."""
    whole = tuple(y.shape[1:3]) == tuple(sizes)
    return KerasProxy(y if whole else y[:, : sizes[0], : sizes[1]], NCHW)


@lowers(torch.conv_transpose2d)
def _conv_transpose2d(
    x: KerasProxy,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> KerasProxy:
    keras = kit()

    if groups != 1 or whole_pair(dilation) != (1, 1):
        raise ValueError(f"groups={groups}, dilation={dilation}")
    stride, padding, extra = whole_pair(stride), whole_pair(padding), whole_pair(output_padding)
    kernel = weight.shape[2:]
    sizes = [
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[2:], stride, padding, kernel, extra, strict=True)
    ]
    # Where torch gives more than Keras, a row of zeros coming in gives rows of bias going out.
    more = [
        int(e > p + max(s - k, 0))
        for s, p, k, e in zip(stride, padding, kernel, extra, strict=True)
    ]
    x = settle(KerasProxy(as_image(x).tensor, NCHW, (0, more[0], 0, more[1])))
    y = _transpose(x, weight, bias, stride, "valid")  # n*stride + max(kernel - stride, 0) pixels
    if tuple(y.shape[2:]) == tuple(sizes) and not any(padding):
        return y
    crop = [(p, have - p - n) for p, n, have in zip(padding, sizes, y.shape[2:], strict=True)]
    return KerasProxy(keras.layers.Cropping2D(crop, name=layer_name("crop"))(y.tensor), NCHW)


@lowers(conv_transpose2d_same)
def _conv_transpose2d_same(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any
) -> KerasProxy:
    return _transpose(x, weight, bias, whole_pair(stride), "same")


def _transpose(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, mode: str
) -> KerasProxy:
    keras = kit()

    w, b = as_numpy(weight), None if bias is None else as_numpy(bias)
    layer = keras.layers.Conv2DTranspose(
        w.shape[1],
        w.shape[2:],
        stride,
        mode,
        use_bias=b is not None,
        name=layer_name("conv_transpose"),
    )
    y = layer(as_image(x).tensor)
    kernels = w.transpose(2, 3, 1, 0)
    layer.set_weights([kernels] if b is None else [kernels, b])
    return KerasProxy(y, NCHW)


@lowers(conv_transpose2d_upsampled)
def _conv_transpose2d_upsampled(
    x: KerasProxy, weight: torch.Tensor, bias: Any, stride: int, padding: int, extra: int
) -> KerasProxy:
    """Pixels repeated, all but one of each block set to zero, and a convolution."""
    large = interpolate(x, scale_factor=stride)
    _, height, width, _ = large.tensor.shape
    offset = stuffing_offset(weight.shape[2], stride, padding, extra)
    mask = np.zeros((1, height, width, 1), np.float32)
    mask[:, offset::stride, offset::stride] = 1
    kernels = as_numpy(weight).transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    b = None if bias is None else as_numpy(bias)
    return KerasProxy(convolution(large.tensor * mask, kernels, b), NCHW)
