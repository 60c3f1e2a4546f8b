"""Functions of one tensor, value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synet.export.proxy import KerasProxy
from synet.export.registry import kit, layer_name, lowers


def _activation(*names: str, function: Callable[..., Any], fused: Sequence[str] = ()) -> None:
    """An entry for a function of one tensor."""

    @lowers(*names, fused=fused)
    def _lowering(x: KerasProxy, *args: Any, inplace: bool = False, **kwargs: Any) -> KerasProxy:
        keras = kit()

        return KerasProxy(function(keras, x.tensor, *args, **kwargs), x.axes)


def _hardtanh(keras: Any, x: Any, min_val: float = -1.0, max_val: float = 1.0, *_: Any) -> Any:
    if (min_val, max_val) == (0.0, 6.0):  # how torch spells ReLU6
        return keras.layers.ReLU(6.0, name=layer_name("relu6"))(x)
    return keras.ops.clip(x, min_val, max_val)


def _gated(keras: Any, name: str, x: Any, gate: Any) -> Any:
    return keras.layers.Multiply(name=layer_name(name))([x, gate])


def _softplus(keras: Any, x: Any, beta: float = 1.0, *_: Any) -> Any:
    return keras.ops.softplus(x) if beta == 1 else keras.ops.softplus(x * beta) / beta


_activation("relu", function=lambda k, x, *_: k.layers.ReLU(name=layer_name("relu"))(x))
_activation(
    "relu6", function=lambda k, x, *_: k.layers.ReLU(6.0, name=layer_name("relu6"))(x)
)  # no operation of its own: fused into the one before
_activation(
    "sigmoid",
    function=lambda k, x: k.layers.Activation("sigmoid", name=layer_name("sigmoid"))(x),
)
_activation("silu", function=lambda k, x, *_: _gated(k, "silu", x, k.ops.sigmoid(x)))
_activation("hardtanh", function=_hardtanh)
_activation(
    "hardswish", fused=("HARD_SWISH",), function=lambda k, x, *_: x * k.ops.relu6(x + 3) / 6
)
_activation("hardsigmoid", function=lambda k, x, *_: k.ops.relu6(x + 3) / 6)
_activation(
    "leaky_relu",
    function=lambda k, x, negative_slope=0.01, *_: k.layers.LeakyReLU(
        negative_slope, name=layer_name("leaky_relu")
    )(x),
)
_activation(
    "mish",
    function=lambda k, x, *_: _gated(k, "mish", x, k.ops.tanh(k.ops.softplus(x))),
)
_activation(
    "gelu",
    function=lambda k, x, approximate="none": k.ops.gelu(x, approximate == "tanh"),
)
_activation("softplus", function=_softplus)
_activation("tanh", function=lambda k, x: k.ops.tanh(x))
_activation("exp", function=lambda k, x: k.ops.exp(x))
_activation("sqrt", function=lambda k, x: k.ops.sqrt(x))
_activation("neg", "__neg__", function=lambda k, x: x * -1.0)


@lowers("elu")
def _elu(x: KerasProxy, alpha: float = 1.0, inplace: bool = False) -> KerasProxy:
    keras = kit()

    return KerasProxy(keras.ops.elu(x.tensor, alpha), x.axes)


@lowers("clamp", "clip")
def _clamp(x: KerasProxy, min: float | None = None, max: float | None = None) -> KerasProxy:  # noqa: A002
    keras = kit()

    if min == 0 and max == 6:
        return KerasProxy(_hardtanh(keras, x.tensor, 0.0, 6.0), x.axes)
    y = x.tensor if min is None else keras.ops.maximum(x.tensor, float(min))
    return KerasProxy(y if max is None else keras.ops.minimum(y, float(max)), x.axes)


@lowers("softmax")
def _softmax(x: KerasProxy, dim: int = -1, *_: Any, **__: Any) -> KerasProxy:
    keras = kit()

    return KerasProxy(keras.ops.softmax(x.tensor, axis=x.axis(dim)), x.axes)
