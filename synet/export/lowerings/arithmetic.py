"""Functions of two tensors with broadcasting, and reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from synet.export.lowerings.shape import inverse, reshape, with_rank
from synet.export.proxy import KerasProxy
from synet.export.table import layer_name, lower, lowers, pair


def _aligned(x: Any, y: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Keras operands of a binary function with torch's broadcasting, and the result's axes."""
    if not isinstance(x, KerasProxy):
        y, x, axes = _aligned(y, x)
        return x, y, axes
    if not isinstance(y, KerasProxy):
        if not isinstance(y, torch.Tensor) or y.ndim == 0:
            return x.tensor, float(y), x.axes
        x = with_rank(x, y.ndim)
        constant = y.detach().cpu().float().numpy()
        constant = constant.reshape((1,) * (x.ndim - constant.ndim) + constant.shape)
        return x.tensor, constant.transpose(inverse(x.axes)), x.axes
    rank = max(x.ndim, y.ndim)
    x, y = with_rank(x, rank), with_rank(y, rank)
    if x.axes == y.axes:
        return x.tensor, y.tensor, x.axes
    import keras

    order = tuple(y.axes[dim] for dim in inverse(x.axes))
    return x.tensor, keras.ops.transpose(y.tensor, order), x.axes


def _binary(*names: str, ops: Sequence[str], function: Callable[[Any, Any, Any], Any]) -> None:
    """An entry for an arithmetic function of two operands."""

    @lowers(*names, ops=ops)
    def _lowering(x: Any, y: Any, *, alpha: float = 1) -> KerasProxy:
        import keras

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


_binary("add", "__add__", "__radd__", ops=("ADD",), function=_named("Add", "add"))
_binary("sub", "subtract", "__sub__", ops=("SUB",), function=lambda k, a, b: k.ops.subtract(a, b))
_binary("rsub", "__rsub__", ops=("SUB",), function=lambda k, a, b: k.ops.subtract(b, a))
_binary(
    "mul",
    "multiply",
    "__mul__",
    "__rmul__",
    ops=("MUL",),
    function=lambda k, a, b: k.ops.multiply(a, b),
)
_binary(
    "div",
    "divide",
    "true_divide",
    "__truediv__",
    ops=("DIV",),
    function=lambda k, a, b: k.ops.divide(a, b),
)
_binary("__rtruediv__", ops=("DIV",), function=lambda k, a, b: k.ops.divide(b, a))
_binary("maximum", ops=("MAXIMUM",), function=lambda k, a, b: k.ops.maximum(a, b))
_binary("minimum", ops=("MINIMUM",), function=lambda k, a, b: k.ops.minimum(a, b))


@lowers("pow", "__pow__", ops=("MUL",))
def _pow(x: KerasProxy, exponent: float) -> KerasProxy:
    import keras

    if exponent == 2:  # a chip multiplies, few have POW
        return KerasProxy(keras.ops.multiply(x.tensor, x.tensor), x.axes)
    return KerasProxy(keras.ops.power(x.tensor, float(exponent)), x.axes)


@lowers("square", ops=("MUL",))
def _square(x: KerasProxy) -> KerasProxy:
    return _pow(x, 2)


def _reduced(x: KerasProxy, name: str, dim: Any, keepdim: bool) -> KerasProxy:
    import keras

    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = sorted(d % x.ndim for d in dims)
    function = getattr(keras.ops, name)
    y = function(x.tensor, axis=tuple(x.axis(d) for d in dims), keepdims=True)
    y = KerasProxy(y, x.axes)
    return y if keepdim else reshape(y, [n for d, n in enumerate(y.shape) if d not in dims])


@lowers("mean", ops=("MEAN",))
def _mean(x: KerasProxy, dim: Any = None, keepdim: bool = False, **_: Any) -> KerasProxy:
    return _reduced(x, "mean", dim, keepdim)


@lowers("sum", ops=("SUM",))
def _sum(x: KerasProxy, dim: Any = None, keepdim: bool = False, **_: Any) -> KerasProxy:
    return _reduced(x, "sum", dim, keepdim)


@lowers("amax", ops=("REDUCE_MAX",))
def _amax(x: KerasProxy, dim: Any = None, keepdim: bool = False) -> KerasProxy:
    return _reduced(x, "max", dim, keepdim)


@lowers("max", ops=("REDUCE_MAX",))
def _max(x: KerasProxy, dim: Any = None, keepdim: bool = False) -> Any:
    if isinstance(dim, KerasProxy):
        return lower(torch.maximum, (x, dim), {})
    values = _reduced(x, "max", dim, keepdim)
    if dim is None:
        return values
    import keras

    indices = KerasProxy(keras.ops.argmax(x.tensor, axis=x.axis(dim), keepdims=True), x.axes)
    shape = values.shape
    return torch.return_types.max((values, indices if keepdim else reshape(indices, shape)))


@lowers("adaptive_avg_pool2d", ops=("MEAN",))
def _adaptive_avg_pool2d(x: KerasProxy, output_size: Any) -> KerasProxy:
    if pair(output_size) != (1, 1):
        raise ValueError(f"output size {output_size}: only 1")
    return _mean(x, (2, 3), True)
