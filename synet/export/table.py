"""Torch function -> Keras layer.

Each entry is declared with `lowers`, which also says what TFLite makes of it: the chip
check of a model that is being built reads that, long before anything is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.errors import ExportError
from synet.export.context import current, where
from synet.export.proxy import NCHW, KerasProxy
from synet.export.reshape import resolve_shape, stored_view
from synet.layers.same import conv_transpose2d_same, same_padding

Lowering = Callable[..., Any]
TABLE: dict[Any, Lowering] = {}
OPERATIONS: dict[Any, Callable[..., Sequence[str]]] = {}


def lowers(
    *names: str | Callable, ops: Sequence[str] | Callable[..., Sequence[str]] = ()
) -> Callable[[Lowering], Lowering]:
    """Register the twin of a torch function.

    Parameters
    ----------
    names
        Functions, or names looked up in ``torch``, ``torch.nn.functional`` and
        ``torch.Tensor``, where one function often lives three times.
    ops
        TFLite operations that it becomes, or a function that tells them from the arguments.
    """
    functions = []
    for name in names:
        homes = (torch, F, torch.Tensor) if isinstance(name, str) else ()
        found = [getattr(home, name) for home in homes if callable(getattr(home, name, None))]
        functions += found if isinstance(name, str) else [name]

    def register(lowering: Lowering) -> Lowering:
        for function in dict.fromkeys(functions):
            if TABLE.setdefault(function, lowering) is not lowering:
                raise ValueError(f"{function} already has a Keras twin")
            OPERATIONS[function] = ops if callable(ops) else lambda *_, **__: ops
        return lowering

    return register


def lower(function: Any, args: tuple, kwargs: dict) -> Any:
    """Answer a torch function on proxies.

    Raises
    ------
    ExportError
        It has no Keras twin, or not in this form; the message names the function, the module
        path and the line of code.
    """
    name = getattr(function, "__name__", str(function))
    in_place = name.endswith("_") and not name.endswith("__")
    lowering = TABLE.get(function)
    if lowering is None and in_place:
        lowering = TABLE.get(getattr(torch.Tensor, name[:-1], None))
    if lowering is None:
        shown = torch.overrides.resolve_name(function) or name
        raise ExportError(f"{shown} has no Keras twin: {where()}")
    target = args[0] if args else None
    if lowering not in KEEPS_PADDING:
        args = tuple(_settled(arg) for arg in args)
    try:
        result = lowering(*args, **kwargs)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ExportError(f"{name} cannot be exported like this ({error}): {where()}") from error
    if (in_place or kwargs.get("inplace")) and isinstance(target, KerasProxy):
        return target.become(result)
    return result


def in_order(x: KerasProxy, dims: Sequence[int]) -> Any:
    """The Keras tensor of `x` with its axes in the order of torch's `dims`."""
    import keras

    order = tuple(x.axes[dim] for dim in dims)
    if order == tuple(range(len(order))):
        return x.tensor
    return keras.ops.transpose(x.tensor, order)


def settle(x: KerasProxy) -> KerasProxy:
    """Add the zeros that `x` is still waiting for."""
    if not any(x.pad):
        return x
    import keras

    top, bottom, left, right = x.pad
    layer = keras.layers.ZeroPadding2D(((top, bottom), (left, right)), name=_name("pad"))
    return KerasProxy(layer(x.tensor), x.axes)


def _settled(value: Any) -> Any:
    if isinstance(value, KerasProxy):
        return settle(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, KerasProxy) for v in value):
        return type(value)(_settled(item) for item in value)
    return value


def _name(function: str) -> str:
    return current().layer_name(function)


def _numpy(value: torch.Tensor | float | None) -> np.ndarray | None:
    if value is None:
        return None
    return np.asarray(value.detach().cpu().float() if isinstance(value, torch.Tensor) else value)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (int(value),) * 2 if isinstance(value, int) else tuple(int(v) for v in value)


def _image(x: KerasProxy) -> KerasProxy:
    """`x`, stored as NHWC."""
    return x if x.is_image else KerasProxy(in_order(x, (0, 2, 3, 1)), NCHW)


# --- convolution, padding, pooling -------------------------------------------------------


@lowers(F.pad, ops=("PAD",))
def _pad(x: KerasProxy, pad: Sequence[int], mode: str = "constant", value: float = 0) -> KerasProxy:
    import keras

    pad = [int(p) for p in pad] + [0] * (2 * x.ndim - len(pad))
    zeros = mode == "constant" and not value
    if x.ndim == 4 and x.is_image and zeros and not any(pad[4:]) and min(pad) >= 0:
        left, right, top, bottom = pad[:4]
        waiting = zip(x.pad, (top, bottom, left, right), strict=True)
        return KerasProxy(x.tensor, x.axes, tuple(a + b for a, b in waiting))
    x = settle(x)
    widths = [(0, 0)] * x.ndim
    for i in range(x.ndim):
        widths[x.axis(x.ndim - 1 - i)] = (pad[2 * i], pad[2 * i + 1])
    if mode == "replicate":
        return KerasProxy(_replicated(x.tensor, widths), x.axes)
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"padding mode {mode!r}")
    constant = {"constant_values": value or 0} if mode == "constant" else {}
    return KerasProxy(keras.ops.pad(x.tensor, widths, mode=mode, **constant), x.axes)


def _replicated(tensor: Any, widths: Sequence[tuple[int, int]]) -> Any:
    """Repeat what lies at the edges: a pixel mirrored about its edge, again and again."""
    import keras

    for done in range(max(max(sides) for sides in widths)):
        step = [tuple(int(n > done) for n in sides) for sides in widths]
        tensor = keras.ops.pad(tensor, step, mode="symmetric")
    return tensor


def _same_or_padded(
    x: KerasProxy, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], p: Any
) -> tuple[KerasProxy, str]:
    """`x` and Keras' padding mode, once `p` and the waiting zeros are taken together."""
    if p == "same":  # torch's: only stride 1, an odd pixel after the image
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        own = [side for span in spans for side in (span // 2, span - span // 2)]
    else:
        own = [n for n in ((0, 0) if p == "valid" else _pair(p)) for _ in range(2)]
    wanted = tuple(waiting + side for waiting, side in zip(x.pad, own, strict=True))
    if not any(wanted):
        same = _tensorflow_same(x, kernel, stride, dilation)
        return x, "valid" if any(same) else "same"
    if wanted == _tensorflow_same(x, kernel, stride, dilation):
        return KerasProxy(x.tensor, x.axes), "same"
    return settle(KerasProxy(x.tensor, x.axes, wanted)), "valid"


def _tensorflow_same(
    x: KerasProxy, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    sizes = x.tensor.shape[1:3]
    sides = [same_padding(*axis) for axis in zip(sizes, kernel, stride, dilation, strict=True)]
    return (*sides[0], *sides[1])


@lowers(torch.conv2d, ops=("CONV_2D",))
def _conv2d(
    x: KerasProxy,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> KerasProxy:
    import keras

    w, b = _numpy(weight), _numpy(bias)
    out, per_group, *kernel = w.shape
    stride, dilation = _pair(stride), _pair(dilation)
    x = x if x.is_image else _image(settle(x))
    x, mode = _same_or_padded(x, kernel, stride, dilation, padding)
    options = {
        "kernel_size": tuple(kernel),
        "strides": stride,
        "padding": mode,
        "dilation_rate": dilation,
        "use_bias": b is not None,
        "name": _name("conv2d"),
    }
    if per_group == 1 and groups > 1 and stride[0] == stride[1]:
        layer = keras.layers.DepthwiseConv2D(depth_multiplier=out // groups, **options)
        kernels = w.reshape(groups, out // groups, *kernel).transpose(2, 3, 0, 1)
    else:
        layer = keras.layers.Conv2D(out, groups=groups, **options)
        kernels = w.transpose(2, 3, 1, 0)
    y = layer(x.tensor)
    layer.set_weights([kernels] if b is None else [kernels, b])
    return KerasProxy(y, NCHW)


@lowers(torch.conv_transpose2d, ops=("TRANSPOSE_CONV",))
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
    import keras

    if groups != 1 or _pair(dilation) != (1, 1):
        raise ValueError(f"groups={groups}, dilation={dilation}")
    stride, padding, extra = _pair(stride), _pair(padding), _pair(output_padding)
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
    x = settle(KerasProxy(_image(x).tensor, NCHW, (0, more[0], 0, more[1])))
    y = _transpose(x, weight, bias, stride, "valid")  # n*stride + max(kernel - stride, 0) pixels
    if tuple(y.shape[2:]) == tuple(sizes) and not any(padding):
        return y
    crop = [(p, have - p - n) for p, n, have in zip(padding, sizes, y.shape[2:], strict=True)]
    return KerasProxy(keras.layers.Cropping2D(crop, name=_name("crop"))(y.tensor), NCHW)


@lowers(conv_transpose2d_same, ops=("TRANSPOSE_CONV",))
def _conv_transpose2d_same(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any
) -> KerasProxy:
    return _transpose(x, weight, bias, _pair(stride), "same")


def _transpose(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, mode: str
) -> KerasProxy:
    import keras

    w, b = _numpy(weight), _numpy(bias)
    layer = keras.layers.Conv2DTranspose(
        w.shape[1], w.shape[2:], stride, mode, use_bias=b is not None, name=_name("conv_transpose")
    )
    y = layer(_image(x).tensor)
    kernels = w.transpose(2, 3, 1, 0)
    layer.set_weights([kernels] if b is None else [kernels, b])
    return KerasProxy(y, NCHW)


@lowers("max_pool2d", ops=("MAX_POOL_2D",))
def _max_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> KerasProxy:
    import keras

    if return_indices or _pair(dilation) != (1, 1):
        raise ValueError(f"return_indices={return_indices}, dilation={dilation}")
    kernel = _pair(kernel_size)
    stride = _pair(stride) if stride else kernel
    x = _image(x)
    sides, sizes = _pool_sides(x, kernel, stride, _pair(padding), ceil_mode)
    mode = "valid"
    if sides == _tensorflow_same(x, kernel, stride, (1, 1)):
        mode = "same"
    elif any(sides):
        # A window that leaves the image holds its border: repeating that cannot change a maximum.
        x = KerasProxy(_replicated(x.tensor, [(0, 0), sides[:2], sides[2:], (0, 0)]), NCHW)
    y = keras.layers.MaxPooling2D(kernel, stride, mode, name=_name("max_pool2d"))(x.tensor)
    return KerasProxy(y[:, : sizes[0], : sizes[1]] if y.shape[1:3] != sizes else y, NCHW)


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


@lowers("avg_pool2d", torch._C._nn.avg_pool2d, ops=("AVERAGE_POOL_2D",))
def _avg_pool2d(
    x: KerasProxy,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> KerasProxy:
    import keras

    kernel = _pair(kernel_size)
    stride, padding = _pair(stride) if stride else kernel, _pair(padding)
    if divisor_override or (any(padding) and not count_include_pad):
        raise ValueError("only the plain mean, padding included")
    x = _image(x)
    sides, sizes = _pool_sides(x, kernel, stride, padding, ceil_mode)
    if sides[1::2] != padding and ceil_mode:
        raise ValueError("ceil_mode with a window that leaves the image")
    x = settle(KerasProxy(x.tensor, NCHW, (padding[0],) * 2 + (padding[1],) * 2))
    y = keras.layers.AveragePooling2D(kernel, stride, "valid", name=_name("avg_pool2d"))(x.tensor)
    return KerasProxy(y, NCHW)


@lowers("adaptive_avg_pool2d", ops=("MEAN",))
def _adaptive_avg_pool2d(x: KerasProxy, output_size: Any) -> KerasProxy:
    if _pair(output_size) != (1, 1):
        raise ValueError(f"output size {output_size}: only 1")
    return _mean(x, (2, 3), True)


def _resize(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, **__: Any
) -> tuple[str]:
    return ("RESIZE_BILINEAR" if mode == "bilinear" else "RESIZE_NEAREST_NEIGHBOR",)


@lowers("interpolate", "upsample", ops=_resize)
def _interpolate(
    x: KerasProxy,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> KerasProxy:
    import keras

    if mode not in ("nearest", "bilinear") or align_corners or antialias:
        raise ValueError(f"mode={mode!r}, align_corners={align_corners}, antialias={antialias}")
    x = _image(x)
    if size is None:
        factors = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor,) * 2
        size = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
        if not recompute_scale_factor and size != [
            n * f for n, f in zip(x.shape[2:], factors, strict=True)
        ]:
            raise ValueError(f"scale_factor={scale_factor} of {tuple(x.shape[2:])}")
    size = _pair(size)
    if mode == "nearest" and any(new % n for new, n in zip(size, x.shape[2:], strict=True)):
        raise ValueError(f"mode='nearest' from {tuple(x.shape[2:])} to {size}: only whole factors")
    # not UpSampling2D: its repeat becomes tiles and reshapes in TFLite
    layer = keras.layers.Resizing(*size, interpolation=mode, name=_name("interpolate"))
    return KerasProxy(layer(x.tensor), NCHW)


# --- normalisation, linear ---------------------------------------------------------------


@lowers(F.batch_norm, ops=())  # folded into the convolution before it
def _batch_norm(
    x: KerasProxy,
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> KerasProxy:
    import keras

    if training:
        raise ValueError("training mode: call .eval() on the model")
    layer = keras.layers.BatchNormalization(
        axis=x.axis(1),
        epsilon=eps,
        scale=weight is not None,
        center=bias is not None,
        trainable=False,  # Resizing, called without ``training``, tells later layers to train
        name=_name("batch_norm"),
    )
    y = layer(x.tensor)
    values = [_numpy(v) for v in (weight, bias, mean, variance)]
    layer.set_weights([v for v in values if v is not None])
    return KerasProxy(y, x.axes)


@lowers("linear", ops=("FULLY_CONNECTED",))
def _linear(x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None = None) -> KerasProxy:
    import keras

    w, b = _numpy(weight), _numpy(bias)
    layer = keras.layers.Dense(w.shape[0], use_bias=b is not None, name=_name("linear"))
    y = layer(in_order(x, range(x.ndim)))
    layer.set_weights([w.T] if b is None else [w.T, b])
    return KerasProxy(y)


@lowers("matmul", "bmm", "__matmul__", ops=("BATCH_MATMUL",))
def _matmul(x: Any, y: Any) -> KerasProxy:
    import keras

    x, y = (in_order(v, range(v.ndim)) if isinstance(v, KerasProxy) else _numpy(v) for v in (x, y))
    return KerasProxy(keras.ops.matmul(x, y))


# --- activations -------------------------------------------------------------------------


def _activation(*names: str, ops: Any, function: Callable[..., Any]) -> None:
    """An entry for a function of one tensor."""

    @lowers(*names, ops=ops)
    def _lowering(x: KerasProxy, *args: Any, inplace: bool = False, **kwargs: Any) -> KerasProxy:
        import keras

        return KerasProxy(function(keras, x.tensor, *args, **kwargs), x.axes)


def _hardtanh(keras: Any, x: Any, min_val: float = -1.0, max_val: float = 1.0, *_: Any) -> Any:
    if (min_val, max_val) == (0.0, 6.0):  # how torch spells ReLU6
        return keras.layers.ReLU(6.0, name=_name("relu6"))(x)
    return keras.ops.clip(x, min_val, max_val)


def _hardtanh_operations(
    x: Any, min_val: float = -1.0, max_val: float = 1.0, *_: Any, **__: Any
) -> tuple[str, ...]:
    return () if (min_val, max_val) == (0.0, 6.0) else ("MAXIMUM", "MINIMUM")


def _softplus(keras: Any, x: Any, beta: float = 1.0, *_: Any) -> Any:
    return keras.ops.softplus(x) if beta == 1 else keras.ops.softplus(x * beta) / beta


_activation("relu", ops=("RELU",), function=lambda k, x, *_: k.layers.ReLU(name=_name("relu"))(x))
_activation(
    "relu6", ops=(), function=lambda k, x, *_: k.layers.ReLU(6.0, name=_name("relu6"))(x)
)  # no operation of its own: fused into the one before
_activation(
    "sigmoid",
    ops=("LOGISTIC",),
    function=lambda k, x: k.layers.Activation("sigmoid", name=_name("sigmoid"))(x),
)
_activation("silu", ops=("LOGISTIC", "MUL"), function=lambda k, x, *_: x * k.ops.sigmoid(x))
_activation("hardtanh", ops=_hardtanh_operations, function=_hardtanh)
_activation("hardswish", ops=("HARD_SWISH",), function=lambda k, x, *_: x * k.ops.relu6(x + 3) / 6)
_activation("hardsigmoid", ops=("ADD", "MUL"), function=lambda k, x, *_: k.ops.relu6(x + 3) / 6)
_activation(
    "leaky_relu",
    ops=("LEAKY_RELU",),
    function=lambda k, x, negative_slope=0.01, *_: k.layers.LeakyReLU(
        negative_slope, name=_name("leaky_relu")
    )(x),
)
_activation(
    "mish",
    ops=("EXP", "LOG", "TANH", "MUL"),
    function=lambda k, x, *_: x * k.ops.tanh(k.ops.softplus(x)),
)
_activation(
    "gelu",
    ops=("GELU",),
    function=lambda k, x, approximate="none": k.ops.gelu(x, approximate == "tanh"),
)
_activation("softplus", ops=("EXP", "LOG"), function=_softplus)
_activation("tanh", ops=("TANH",), function=lambda k, x: k.ops.tanh(x))
_activation("exp", ops=("EXP",), function=lambda k, x: k.ops.exp(x))
_activation("sqrt", ops=("SQRT",), function=lambda k, x: k.ops.sqrt(x))
_activation("neg", "__neg__", ops=("NEG",), function=lambda k, x: -x)


@lowers("elu", ops=("ELU",))
def _elu(x: KerasProxy, alpha: float = 1.0, inplace: bool = False) -> KerasProxy:
    import keras

    return KerasProxy(keras.ops.elu(x.tensor, alpha), x.axes)


@lowers("clamp", "clip", ops=("MAXIMUM", "MINIMUM"))
def _clamp(x: KerasProxy, min: float | None = None, max: float | None = None) -> KerasProxy:  # noqa: A002
    import keras

    y = x.tensor if min is None else keras.ops.maximum(x.tensor, float(min))
    return KerasProxy(y if max is None else keras.ops.minimum(y, float(max)), x.axes)


@lowers("softmax", ops=("SOFTMAX",))
def _softmax(x: KerasProxy, dim: int = -1, *_: Any, **__: Any) -> KerasProxy:
    import keras

    return KerasProxy(keras.ops.softmax(x.tensor, axis=x.axis(dim)), x.axes)


# --- arithmetic --------------------------------------------------------------------------


def _aligned(x: Any, y: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Keras operands of a binary function with torch's broadcasting, and the result's axes."""
    if not isinstance(x, KerasProxy):
        y, x, axes = _aligned(y, x)
        return x, y, axes
    if not isinstance(y, KerasProxy):
        if not isinstance(y, torch.Tensor) or y.ndim == 0:
            return x.tensor, float(y), x.axes
        x = _rank(x, y.ndim)
        constant = y.detach().cpu().float().numpy()
        constant = constant.reshape((1,) * (x.ndim - constant.ndim) + constant.shape)
        return x.tensor, constant.transpose(_inverse(x.axes)), x.axes
    rank = max(x.ndim, y.ndim)
    x, y = _rank(x, rank), _rank(y, rank)
    if x.axes == y.axes:
        return x.tensor, y.tensor, x.axes
    import keras

    order = tuple(y.axes[dim] for dim in _inverse(x.axes))
    return x.tensor, keras.ops.transpose(y.tensor, order), x.axes


def _rank(x: KerasProxy, rank: int) -> KerasProxy:
    """`x` with leading dimensions of one."""
    return x if x.ndim >= rank else _reshape(x, (1,) * (rank - x.ndim) + tuple(x.shape))


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(axes))


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
            return getattr(keras.layers, layer)(name=_name(function))([a, b])
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


# --- reductions --------------------------------------------------------------------------


def _reduced(x: KerasProxy, name: str, dim: Any, keepdim: bool) -> KerasProxy:
    import keras

    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = sorted(d % x.ndim for d in dims)
    function = getattr(keras.ops, name)
    y = function(x.tensor, axis=tuple(x.axis(d) for d in dims), keepdims=True)
    y = KerasProxy(y, x.axes)
    return y if keepdim else _reshape(y, [n for d, n in enumerate(y.shape) if d not in dims])


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
    return torch.return_types.max((values, indices if keepdim else _reshape(indices, shape)))


# --- shape -------------------------------------------------------------------------------


@lowers("cat", "concat", "concatenate", ops=("CONCATENATION",))
def _cat(tensors: Sequence[Any], dim: int = 0) -> KerasProxy:
    import keras

    first = next(t for t in tensors if isinstance(t, KerasProxy))
    parts = [
        t.tensor
        if isinstance(t, KerasProxy) and t.axes == first.axes
        else in_order(t, _inverse(first.axes))
        if isinstance(t, KerasProxy)
        else _numpy(t).transpose(_inverse(first.axes))
        for t in tensors
    ]
    if len(parts) == 1:
        return first
    layer = keras.layers.Concatenate(axis=first.axis(dim), name=_name("cat"))
    return KerasProxy(layer(parts), first.axes)


@lowers("stack", ops=("PACK",))
def _stack(tensors: Sequence[KerasProxy], dim: int = 0) -> KerasProxy:
    return _cat([_unsqueeze(t, dim) for t in tensors], dim)


@lowers("reshape", "view", ops=("RESHAPE",))
def _reshape(x: KerasProxy, *shape: Any) -> KerasProxy:
    import keras

    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    shape = resolve_shape(x.shape, shape)
    view = stored_view(x.shape, x.axes, shape)
    if view is None:  # dimensions merge that are stored apart
        x = KerasProxy(in_order(x, range(x.ndim)))
        view = shape, tuple(range(len(shape)))
    stored, axes = view
    if stored == tuple(x.tensor.shape):
        return KerasProxy(x.tensor, axes)
    return KerasProxy(keras.ops.reshape(x.tensor, stored), axes)


@lowers("flatten", ops=("RESHAPE",))
def _flatten(x: KerasProxy, start_dim: int = 0, end_dim: int = -1) -> KerasProxy:
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return _reshape(x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


@lowers("unsqueeze", ops=("RESHAPE",))
def _unsqueeze(x: KerasProxy, dim: int) -> KerasProxy:
    shape = list(x.shape)
    shape.insert(dim % (x.ndim + 1), 1)
    return _reshape(x, shape)


@lowers("squeeze", ops=("RESHAPE",))
def _squeeze(x: KerasProxy, dim: int | None = None) -> KerasProxy:
    dims = range(x.ndim) if dim is None else [dim % x.ndim]
    return _reshape(x, [n for d, n in enumerate(x.shape) if not (d in dims and n == 1)])


@lowers("permute")
def _permute(x: KerasProxy, *dims: Any) -> KerasProxy:
    dims = dims[0] if isinstance(dims[0], Sequence) else dims
    return KerasProxy(x.tensor, [x.axes[d] for d in dims])


@lowers("transpose", "swapaxes")
def _swap(x: KerasProxy, a: int, b: int) -> KerasProxy:
    dims = list(range(x.ndim))
    dims[a], dims[b] = dims[b], dims[a]
    return _permute(x, dims)


@lowers("split", ops=("STRIDED_SLICE",))
def _split(x: KerasProxy, sizes: Any, dim: int = 0) -> tuple[KerasProxy, ...]:
    total = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = np.cumsum([0, *sizes])
    return tuple(_slice(x, dim, a, b) for a, b in zip(starts, starts[1:], strict=False))


@lowers("chunk", ops=("STRIDED_SLICE",))
def _chunk(x: KerasProxy, chunks: int, dim: int = 0) -> tuple[KerasProxy, ...]:
    return _split(x, -(-x.shape[dim] // chunks), dim)


@lowers("unbind", ops=("STRIDED_SLICE", "RESHAPE"))
def _unbind(x: KerasProxy, dim: int = 0) -> tuple[KerasProxy, ...]:
    return tuple(_squeeze(part, dim) for part in _split(x, 1, dim))


def _slice(x: KerasProxy, dim: int, start: int, stop: int) -> KerasProxy:
    return _getitem(x, (slice(None),) * (dim % x.ndim) + (slice(int(start), int(stop)),))


@lowers("__getitem__", ops=("STRIDED_SLICE",))
def _getitem(x: KerasProxy, index: Any) -> KerasProxy:
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        given = sum(item is not None for item in index) - 1
        index = index[:at] + (slice(None),) * (x.ndim - given) + index[at + 1 :]
    slices, shape, dim = [slice(None)] * x.ndim, [], 0
    for item in index:
        if item is None:
            shape.append(1)
            continue
        if isinstance(item, slice):
            start, stop, step = item.indices(x.shape[dim])
            slices[x.axis(dim)] = slice(start, stop, step)
            shape.append(len(range(start, stop, step)))
        elif isinstance(item, int):
            item %= x.shape[dim]
            slices[x.axis(dim)] = slice(item, item + 1)
        else:
            raise ValueError(f"an index of type {type(item).__name__}")
        dim += 1
    shape += x.shape[dim:]
    whole = all(
        s in (slice(None), slice(0, n, 1)) for s, n in zip(slices, x.tensor.shape, strict=True)
    )
    y = KerasProxy(x.tensor if whole else x.tensor[tuple(slices)], x.axes)
    return y if tuple(y.shape) == tuple(shape) else _reshape(y, shape)


@lowers("expand", "broadcast_to", ops=("BROADCAST_TO",))
def _expand(x: KerasProxy, *shape: Any) -> KerasProxy:
    import keras

    shape = shape[0] if isinstance(shape[0], Sequence) else shape
    x = _rank(x, len(shape))
    sizes = [n if wanted == -1 else wanted for n, wanted in zip(x.shape, shape, strict=True)]
    stored = tuple(sizes[dim] for dim in _inverse(x.axes))
    return KerasProxy(keras.ops.broadcast_to(x.tensor, stored), x.axes)


@lowers("expand_as", ops=("BROADCAST_TO",))
def _expand_as(x: KerasProxy, other: Any) -> KerasProxy:
    return _expand(x, tuple(other.shape))


@lowers("pixel_shuffle", ops=("DEPTH_TO_SPACE",))
def _pixel_shuffle(x: KerasProxy, factor: int) -> KerasProxy:
    n, c, h, w = x.shape
    x = _permute(_reshape(x, (n, c // factor**2, factor, factor, h, w)), (0, 1, 4, 2, 5, 3))
    return _reshape(x, (n, c // factor**2, h * factor, w * factor))


# --- nothing to do -----------------------------------------------------------------------


@lowers(
    *("contiguous", "detach", "float", "to", "cpu", "type_as", "type", "requires_grad_"),
    *("alias", "positive"),
)
def _identity(x: KerasProxy, *_: Any, **__: Any) -> KerasProxy:
    return x


@lowers("clone")
def _clone(x: KerasProxy, **_: Any) -> KerasProxy:
    return KerasProxy(x.tensor, x.axes, x.pad)  # what is done in place to one leaves the other


@lowers("dropout", F.dropout2d)
def _dropout(
    x: KerasProxy, p: float = 0.5, training: bool = True, inplace: bool = False
) -> KerasProxy:
    if training:
        raise ValueError("training mode: call .eval() on the model")
    return x


# Pooling and everything else read pixels, so waiting zeros are added first; these take them over.
KEEPS_PADDING = frozenset({_pad, _conv2d, _identity, _clone})
