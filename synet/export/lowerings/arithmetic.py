"""Functions of two tensors with broadcasting, and reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from synet.export.lowerings.convolution import convolution
from synet.export.lowerings.pooling import (
    max_of_axis,
    max_of_channels,
    max_of_image,
    mean_of_axis,
    mean_of_image,
)
from synet.export.lowerings.shape import inverse, reshape, with_rank
from synet.export.proxy import NCHW, KerasProxy, as_image, in_order, lower
from synet.export.registry import kit, layer_name, lowers, spelling


def _aligned(x: Any, y: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Keras operands of a binary function with torch's broadcasting, and the result's axes."""
    if not isinstance(x, KerasProxy):
        y, x, axes = _aligned(y, x)
        return x, y, axes
    if not isinstance(y, KerasProxy):
        if not isinstance(y, torch.Tensor) or y.ndim == 0:
            return x.tensor, float(y), x.axes
        x = with_rank(x, y.ndim)
        values = y.detach().cpu().float()
        values = values[(None,) * (x.ndim - values.ndim)]
        # what is repeated to the size of `x` need not be stored so
        once = [
            st == 0 and n == m
            for st, n, m in zip(values.stride(), values.shape, x.shape, strict=True)
        ]
        constant = values[tuple(slice(0, 1 if o else None) for o in once)].numpy()
        return x.tensor, constant.transpose(inverse(x.axes)), x.axes
    rank = max(x.ndim, y.ndim)
    x, y = with_rank(x, rank), with_rank(y, rank)
    return x.tensor, in_order(y, inverse(x.axes)), x.axes


def _binary(*names: str, function: Callable[[Any, Any, Any], Any]) -> None:
    """An entry for an arithmetic function of two operands."""

    @lowers(*names)
    def _lowering(x: Any, y: Any, *, alpha: float = 1) -> KerasProxy:
        keras = kit()

        if alpha != 1:
            raise ValueError(f"alpha={alpha}")
        a, b, axes = _aligned(x, y)
        return KerasProxy(function(keras, a, b), axes)


def _named(layer: str, function: str) -> Callable[[Any, Any, Any], Any]:
    """A Keras layer, which has a name, for two tensors; a function for a tensor and a constant."""

    def apply(keras: Any, a: Any, b: Any) -> Any:
        both = all(isinstance(v, keras.KerasTensor) for v in (a, b))
        if both and a.shape[0] == b.shape[0]:  # the layers do not broadcast the first axis
            return getattr(keras.layers, layer)(name=layer_name(function))([a, b])
        return getattr(keras.ops, function)(a, b)

    return apply


def _subtract(keras: Any, a: Any, b: Any) -> Any:
    """What is subtracted is added, negated: few chips subtract."""
    negated = keras.ops.multiply(b, -1.0) if isinstance(b, keras.KerasTensor) else -b
    return keras.ops.add(a, negated)


def _divide(keras: Any, a: Any, b: Any) -> Any:
    """What is divided by a constant is multiplied by its reciprocal."""
    if isinstance(b, keras.KerasTensor):
        return keras.ops.divide(a, b)
    return keras.ops.multiply(a, 1 / b)


_binary("add", "__add__", "__radd__", function=_named("Add", "add"))
_binary("sub", "subtract", "__sub__", function=_subtract)
_binary(
    "rsub",
    "__rsub__",
    function=lambda k, a, b: _subtract(k, b, a),
)
_binary(
    "mul",
    "multiply",
    "__mul__",
    "__rmul__",
    function=lambda k, a, b: k.ops.multiply(a, b),
)
_binary("div", "divide", "true_divide", "__truediv__", function=_divide)
_binary("__rtruediv__", function=lambda k, a, b: k.ops.divide(b, a))
_binary("maximum", function=lambda k, a, b: k.ops.maximum(a, b))
_binary("minimum", function=lambda k, a, b: k.ops.minimum(a, b))


@lowers("pow", "__pow__")
def _pow(x: KerasProxy, exponent: float) -> KerasProxy:
    keras = kit()

    if exponent == 2:  # a chip multiplies, few have POW
        return KerasProxy(keras.ops.multiply(x.tensor, x.tensor), x.axes)
    return KerasProxy(keras.ops.power(x.tensor, float(exponent)), x.axes)


@lowers("square")
def _square(x: KerasProxy) -> KerasProxy:
    return _pow(x, 2)


def _reduced(x: KerasProxy, name: str, dim: Any, keepdim: bool) -> KerasProxy:
    keras = kit()

    dims = _dims(x, dim)
    real = [d for d in dims if x.shape[d] != 1]
    if not real:
        y = x
    elif x.ndim == 4 and dims == [2, 3]:
        x = as_image(x)
        y = max_of_image(x) if name == "max" else mean_of_image(x, total=name == "sum")
    elif x.is_image and real == [1] and name == "mean":
        share = np.full((1, x.shape[1], 1, 1), 1 / x.shape[1], np.float32)
        y = KerasProxy(convolution(x.tensor, share, name="mean"), NCHW)
    elif x.is_image and real == [1] and name == "max":
        y = max_of_channels(x)
    elif name == "sum" and _is_short(x, real):
        first, *rest = lower(torch.split, (x, 1), {"dim": real[0]})
        y = KerasProxy(sum((part.tensor for part in rest), first.tensor), x.axes)
    elif (pooled := _pooled(x, name, real)) is not None:
        y = pooled
    else:
        function = getattr(keras.ops, name)
        y = function(x.tensor, axis=tuple(x.axis(d) for d in real), keepdims=True)
        y = KerasProxy(y, x.axes)
    return y if keepdim else reshape(y, [n for d, n in enumerate(y.shape) if d not in dims])


def _pooled(x: KerasProxy, name: str, dims: Sequence[int]) -> KerasProxy | None:
    """A reduction over height, or width, or the rows of a table, as a chip has it of an image."""
    keras = kit()

    if len(dims) != 1 or (axis := x.axis(dims[0])) not in {3: (1,), 4: (1, 2)}.get(x.ndim, ()):
        return None
    shape, image = x.tensor.shape, x.tensor
    if x.ndim == 3:
        image = keras.ops.reshape(image, (*shape[:2], 1, shape[2]))
    if name == "max":
        y = max_of_axis(image, axis)
    else:
        y = mean_of_axis(image, axis, total=name == "sum")
    if y is None:
        return None
    return KerasProxy(y if x.ndim == 4 else keras.ops.reshape(y, (shape[0], 1, shape[2])), x.axes)


def _dims(x: Any, dim: Any) -> list[int]:
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return sorted(d % x.ndim for d in dims)


def _is_short(x: Any, dims: list[int]) -> bool:
    """Is it the sum of a few parts, such as of tensors that were stacked?"""
    return len(dims) == 1 and x.shape[dims[0]] <= spelling().parts


@lowers("mean")
def _mean(x: KerasProxy, dim: Any = None, keepdim: bool = False, **_: Any) -> KerasProxy:
    return _reduced(x, "mean", dim, keepdim)


@lowers("sum")
def _sum(x: KerasProxy, dim: Any = None, keepdim: bool = False, **_: Any) -> KerasProxy:
    return _reduced(x, "sum", dim, keepdim)


@lowers("amax")
def _amax(x: KerasProxy, dim: Any = None, keepdim: bool = False) -> KerasProxy:
    return _reduced(x, "max", dim, keepdim)


_Max: Any = torch.return_types.max  # of proxies, here


@lowers("max")
def _max(x: KerasProxy, dim: Any = None, keepdim: bool = False) -> Any:
    if isinstance(dim, KerasProxy):
        return lower(torch.maximum, (x, dim), {})
    values = _reduced(x, "max", dim, keepdim)
    if dim is None:
        return values
    keras = kit()

    indices = KerasProxy(keras.ops.argmax(x.tensor, axis=x.axis(dim), keepdims=True), x.axes)
    shape = values.shape
    return _Max((values, indices if keepdim else reshape(indices, shape)))
