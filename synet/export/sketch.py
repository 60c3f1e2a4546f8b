"""Keras' layers and functions on shapes alone, and the TFLite operations that they become.

The lowerings build with a kit that has `layers` and `ops`: Keras itself, or this one, which needs
neither Keras nor numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from types import SimpleNamespace
from typing import Any

import numpy as np

from synet.export.reshape import resolve_shape
from synet.layers.exporting import current

UNREAD = "ARG_MAX"  # comes with a maximum, and is in the file only where somebody reads it


class Sketch:
    """A tensor that has a shape, stored as Keras stores it, and no values.

    `made` is the operation that it comes from, and `of` what that has read.
    """

    def __init__(self, shape: Sequence[int], made: str = "", of: Sequence[Any] = ()) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.made, self.of = made, tuple(of)

    def __getitem__(self, index: Any) -> Sketch:
        shape = np.broadcast_to(np.float32(0), self.shape)[index].shape
        return _made("STRIDED_SLICE", shape, self)

    def __add__(self, other: Any) -> Sketch:
        return _joined("ADD", self, other)

    def __mul__(self, other: Any) -> Sketch:
        return _multiplied(self, other)

    def __truediv__(self, other: Any) -> Sketch:
        return _divided(self, other)


def _made(operation: str, shape: Sequence[int], *of: Any, **options: Any) -> Sketch:
    if any(getattr(each, "made", "") == UNREAD for each in of):
        current().operations.append((UNREAD, {}))
    current().operations.append((operation, options))
    return Sketch(shape, operation, of)


def _same(*operations: str) -> Callable[..., Sketch]:
    """A function of one tensor, value by value."""

    def function(x: Sketch, *_: Any, **__: Any) -> Sketch:
        of = x
        for operation in operations:
            x = _made(operation, of.shape, of)
        return x

    return function


def _joined(operation: str, x: Any, y: Any, **options: Any) -> Sketch:
    shapes = [getattr(v, "shape", ()) for v in (x, y)]
    return _made(operation, np.broadcast_shapes(*shapes), x, y, **options)


def _both(operation: str) -> Callable[[Any, Any], Sketch]:
    return lambda x, y: _joined(operation, x, y)


def _multiplied(x: Any, y: Any) -> Sketch:
    gates = any(
        isinstance(a, Sketch) and a.made == "LOGISTIC" and a.of[0] is b for a, b in ((x, y), (y, x))
    )
    return _joined("MUL", x, y, **({"silu": True} if gates else {}))


def _divided(x: Any, y: Any) -> Sketch:
    """By a constant, the converter multiplies."""
    return _joined("DIV" if isinstance(y, Sketch) else "MUL", x, y)


def _clip(x: Sketch, low: float, high: float) -> Sketch:
    return _same("RELU_N1_TO_1")(x) if (low, high) == (-1, 1) else _same("MAXIMUM", "MINIMUM")(x)


def _maximum(x: Any, y: Any) -> Sketch:
    return _joined("RELU" if isinstance(y, float) and y == 0 else "MAXIMUM", x, y)


def _power(x: Sketch, exponent: float) -> Sketch:
    return _same("SQRT" if exponent == 0.5 else "POW")(x)


def _elu(x: Sketch, alpha: float) -> Sketch:
    return _same("ELU")(x) if alpha == 1 else _same("ELU", "GREATER", "MUL", "SELECT")(x)


def _softmax(x: Sketch, axis: int) -> Sketch:
    """TFLite's is over the last axis."""
    last = axis in (-1, len(x.shape) - 1)
    return _same("SOFTMAX")(x) if last else _same("TRANSPOSE", "SOFTMAX")(x)


def _reduced(operation: str) -> Callable[..., Sketch]:
    def function(x: Sketch, axis: Any, keepdims: bool = True) -> Sketch:
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        return _made(operation, [1 if d in axes else n for d, n in enumerate(x.shape)], x)

    return function


def _argmax(x: Sketch, axis: int, keepdims: bool = True) -> Sketch:
    return Sketch([1 if d == axis else n for d, n in enumerate(x.shape)], UNREAD, (x,))


def _reshape(x: Sketch, shape: Sequence[int]) -> Sketch:
    if x.made == UNREAD:
        return Sketch(resolve_shape(x.shape, shape), UNREAD, x.of)
    return _made("RESHAPE", resolve_shape(x.shape, shape), x)


def _concatenate(parts: Sequence[Any], axis: int) -> Sketch:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return _made("CONCATENATION", shape, *parts)


def _pad(
    x: Sketch, widths: Sequence[tuple[int, int]], mode: str = "constant", constant_values: float = 0
) -> Sketch:
    kinds = {"constant": "PADV2" if constant_values else "PAD"}
    shape = [a + n + b for (a, b), n in zip(widths, x.shape, strict=True)]
    return _made(kinds.get(mode, "MIRROR_PAD"), shape, x)


def _transpose(x: Sketch, order: Sequence[int]) -> Sketch:
    return _made("TRANSPOSE", [x.shape[axis] for axis in order], x)


def _matmul(x: Any, y: Any) -> Sketch:
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(f"a product of {tuple(x.shape)} and {tuple(y.shape)}")
    operation = "BATCH_MATMUL" if isinstance(y, Sketch) or y.ndim != 2 else "FULLY_CONNECTED"
    return _made(operation, (*batch, x.shape[-2], y.shape[-1]), x, y)


# ------------------------------------------------------------------------------------ layers


class _Layer:
    """A layer, called with a tensor; weights are nothing to it."""

    def __init__(self, run: Callable[[Any], Sketch]) -> None:
        self.run = run

    def __call__(self, x: Any) -> Sketch:
        return self.run(x)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Its shape has been told already."""


def _simple(function: Callable[..., Sketch]) -> Callable[..., _Layer]:
    return lambda *args, name=None, **kwargs: _Layer(lambda x: function(x, *args, **kwargs))


def _windows(
    operation: str,
    x: Sketch,
    channels: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: str,
    dilation: Sequence[int] = (1, 1),
) -> Sketch:
    """An operation that looks at windows of an image."""
    sizes = []
    for n, k, s, d in zip(x.shape[1:3], kernel, stride, dilation, strict=True):
        span = (k - 1) * d + 1
        sizes.append(ceil((n if padding == "same" else n - span + 1) / s))
    if min(sizes) < 1:
        raise ValueError(f"a kernel of {kernel[0]}x{kernel[1]} over {x.shape[1]}x{x.shape[2]}")
    options = {
        "kernel": tuple(kernel),
        "stride": tuple(stride),
        "dilation": tuple(dilation),
        "padding": padding.upper(),
        "before": x.shape[1:3],
    }
    return _made(operation, (x.shape[0], *sizes, channels), x, **options)


def _convolution(
    filters: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    dilation_rate: Any,
    **_: Any,
) -> _Layer:
    rest = (filters, kernel_size, strides, padding, dilation_rate)
    return _Layer(lambda x: _windows("CONV_2D", x, *rest))


def _depthwise(
    depth_multiplier: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    dilation_rate: Any,
    **_: Any,
) -> _Layer:
    rest = (kernel_size, strides, padding, dilation_rate)
    return _Layer(lambda x: _windows("DEPTHWISE_CONV_2D", x, x.shape[3] * depth_multiplier, *rest))


def _transposed(filters: int, kernel: Any, stride: Any, mode: str, **_: Any) -> _Layer:
    def run(x: Sketch) -> Sketch:
        axes = zip(x.shape[1:3], kernel, stride, strict=True)
        sizes = [n * s + (max(k - s, 0) if mode == "valid" else 0) for n, k, s in axes]
        options = {"kernel": tuple(kernel), "stride": tuple(stride)}
        return _made("TRANSPOSE_CONV", (x.shape[0], *sizes, filters), x, **options)

    return _Layer(run)


def _pooling(operation: str) -> Callable[..., _Layer]:
    def pool(kernel: Any, stride: Any, mode: str, **_: Any) -> _Layer:
        return _Layer(lambda x: _windows(operation, x, x.shape[3], kernel, stride, mode))

    return pool


def _resizing(height: int, width: int, interpolation: str, **_: Any) -> _Layer:
    kind = {"nearest": "RESIZE_NEAREST_NEIGHBOR"}.get(interpolation, "RESIZE_BILINEAR")

    def run(x: Sketch) -> Sketch:
        shape = (x.shape[0], height, width, x.shape[3])
        return _made(kind, shape, x, before=x.shape[1:3], after=shape[1:3])

    return _Layer(run)


def _cropping(crop: Sequence[tuple[int, int]], **_: Any) -> _Layer:
    (top, bottom), (left, right) = crop
    return _Layer(lambda x: x[:, top : x.shape[1] - bottom, left : x.shape[2] - right])


def _zero_padding(sides: Sequence[tuple[int, int]], **_: Any) -> _Layer:
    return _Layer(lambda x: _pad(x, ((0, 0), *sides, (0, 0))))


def _normalised(**_: Any) -> _Layer:
    """Folded into the convolution before it."""
    return _Layer(lambda x: x if "CONV" in x.made else _same("MUL", "ADD")(x))


def _rectified(max_value: float | None = None, **_: Any) -> _Layer:
    return _Layer(_same("RELU" if max_value is None else "RELU6"))


KIT = SimpleNamespace(
    KerasTensor=Sketch,
    layers=SimpleNamespace(
        ReLU=_rectified,
        LeakyReLU=_simple(_same("LEAKY_RELU")),
        Activation=lambda kind, **_: _Layer(_same({"sigmoid": "LOGISTIC"}[kind])),
        Add=_simple(lambda parts: _joined("ADD", *parts)),
        Multiply=_simple(lambda parts: _multiplied(*parts)),
        Concatenate=lambda axis, **_: _Layer(lambda parts: _concatenate(parts, axis)),
        Conv2D=_convolution,
        DepthwiseConv2D=_depthwise,
        Conv2DTranspose=_transposed,
        MaxPooling2D=_pooling("MAX_POOL_2D"),
        AveragePooling2D=_pooling("AVERAGE_POOL_2D"),
        Resizing=_resizing,
        Cropping2D=_cropping,
        ZeroPadding2D=_zero_padding,
        BatchNormalization=_normalised,
    ),
    ops=SimpleNamespace(
        clip=_clip,
        sigmoid=_same("LOGISTIC"),
        relu6=_same("RELU6"),
        softplus=_same("EXP", "ADD", "LOG"),
        tanh=_same("TANH"),
        gelu=_same("GELU"),
        exp=_same("EXP"),
        sqrt=_same("SQRT"),
        elu=_elu,
        softmax=_softmax,
        power=_power,
        add=_both("ADD"),
        multiply=_multiplied,
        divide=_divided,
        maximum=_maximum,
        minimum=_both("MINIMUM"),
        mean=_reduced("MEAN"),
        sum=_reduced("SUM"),
        max=_reduced("REDUCE_MAX"),
        argmax=_argmax,
        reshape=_reshape,
        concatenate=_concatenate,
        pad=_pad,
        transpose=_transpose,
        matmul=_matmul,
    ),
)
