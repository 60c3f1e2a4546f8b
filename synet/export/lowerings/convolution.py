"""Convolution, padding, pooling and resizing: images, stored NHWC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from synet.export.proxy import NCHW, KerasProxy
from synet.export.table import as_image, as_numpy, layer_name, lowers, pair, settle
from synet.layers.same import conv_transpose2d_same, same_padding


@lowers(F.pad, ops=("PAD",), keeps_padding=True)
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
        own = [n for n in ((0, 0) if p == "valid" else pair(p)) for _ in range(2)]
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


@lowers(torch.conv2d, ops=("CONV_2D",), keeps_padding=True)
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

    w, b = as_numpy(weight), as_numpy(bias)
    out, per_group, *kernel = w.shape
    stride, dilation = pair(stride), pair(dilation)
    x = x if x.is_image else as_image(settle(x))
    x, mode = _same_or_padded(x, kernel, stride, dilation, padding)
    options = {
        "kernel_size": tuple(kernel),
        "strides": stride,
        "padding": mode,
        "dilation_rate": dilation,
        "use_bias": b is not None,
        "name": layer_name("conv2d"),
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

    if groups != 1 or pair(dilation) != (1, 1):
        raise ValueError(f"groups={groups}, dilation={dilation}")
    stride, padding, extra = pair(stride), pair(padding), pair(output_padding)
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


@lowers(conv_transpose2d_same, ops=("TRANSPOSE_CONV",))
def _conv_transpose2d_same(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any
) -> KerasProxy:
    return _transpose(x, weight, bias, pair(stride), "same")


def _transpose(
    x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, mode: str
) -> KerasProxy:
    import keras

    w, b = as_numpy(weight), as_numpy(bias)
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

    if return_indices or pair(dilation) != (1, 1):
        raise ValueError(f"return_indices={return_indices}, dilation={dilation}")
    kernel = pair(kernel_size)
    stride = pair(stride) if stride else kernel
    x = as_image(x)
    sides, sizes = _pool_sides(x, kernel, stride, pair(padding), ceil_mode)
    mode = "valid"
    if sides == _tensorflow_same(x, kernel, stride, (1, 1)):
        mode = "same"
    elif any(sides):
        # A window that leaves the image holds its border: repeating that cannot change a maximum.
        x = KerasProxy(_replicated(x.tensor, [(0, 0), sides[:2], sides[2:], (0, 0)]), NCHW)
    y = keras.layers.MaxPooling2D(kernel, stride, mode, name=layer_name("max_pool2d"))(x.tensor)
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

    kernel = pair(kernel_size)
    stride, padding = pair(stride) if stride else kernel, pair(padding)
    if divisor_override or (any(padding) and not count_include_pad):
        raise ValueError("only the plain mean, padding included")
    x = as_image(x)
    sides, sizes = _pool_sides(x, kernel, stride, padding, ceil_mode)
    if sides[1::2] != padding and ceil_mode:
        raise ValueError("ceil_mode with a window that leaves the image")
    x = settle(KerasProxy(x.tensor, NCHW, (padding[0],) * 2 + (padding[1],) * 2))
    y = keras.layers.AveragePooling2D(kernel, stride, "valid", name=layer_name("avg_pool2d"))(
        x.tensor
    )
    return KerasProxy(y, NCHW)


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
    x = as_image(x)
    if size is None:
        factors = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor,) * 2
        size = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
        if not recompute_scale_factor and size != [
            n * f for n, f in zip(x.shape[2:], factors, strict=True)
        ]:
            raise ValueError(f"scale_factor={scale_factor} of {tuple(x.shape[2:])}")
    size = pair(size)
    if mode == "nearest" and any(new % n for new, n in zip(size, x.shape[2:], strict=True)):
        raise ValueError(f"mode='nearest' from {tuple(x.shape[2:])} to {size}: only whole factors")
    # not UpSampling2D: its repeat becomes tiles and reshapes in TFLite
    layer = keras.layers.Resizing(*size, interpolation=mode, name=layer_name("interpolate"))
    return KerasProxy(layer(x.tensor), NCHW)
