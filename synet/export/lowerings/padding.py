"""Padding of images: zeros that wait for a convolution, and all other kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from synet.export.context import PADDING
from synet.export.proxy import KerasProxy, join, settle
from synet.export.registry import kit, layer_name, lowers, whole_pair
from synet.layers.same import same_padding


@lowers(F.pad, keeps_padding=True)
def _pad(x: KerasProxy, pad: Sequence[int], mode: str = "constant", value: float = 0) -> KerasProxy:
    keras = kit()

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
        return KerasProxy(replicated(x.tensor, widths), x.axes)
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"padding mode {mode!r}")
    constant = {"constant_values": value or 0} if mode == "constant" else {}
    return KerasProxy(keras.ops.pad(x.tensor, widths, mode=mode, **constant), x.axes)


def replicated(tensor: Any, widths: Sequence[tuple[int, int]]) -> Any:
    """Repeat what lies at the edges."""
    for axis, (before, after) in enumerate(widths):
        whole = (slice(None),) * axis
        first, last = tensor[(*whole, slice(0, 1))], tensor[(*whole, slice(-1, None))]
        tensor = join([*[first] * before, tensor, *[last] * after], axis, "pad")
    return tensor


def pads(padding: Any) -> bool:
    """Does this argument of a convolution add pixels, whatever its kernel?"""
    return not isinstance(padding, str) and any(whole_pair(padding))


def zeros_around(
    x: KerasProxy, kernel: Sequence[int], dilation: Sequence[int], p: Any
) -> tuple[int, ...]:
    """Zeros on each side of an image, those that wait and those of a convolution's padding `p`."""
    if p == "same":  # torch's: only stride 1, an odd pixel after the image
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        own = [side for span in spans for side in (span // 2, span - span // 2)]
    else:
        own = [n for n in ((0, 0) if p == "valid" else whole_pair(p)) for _ in range(2)]
    return tuple(waiting + side for waiting, side in zip(x.pad, own, strict=True))


def same_or_padded(
    x: KerasProxy, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], p: Any
) -> tuple[KerasProxy, str]:
    """`x` and Keras' padding mode, once `p` and the waiting zeros are taken together."""
    wanted = zeros_around(x, kernel, dilation, p)
    if not any(wanted):
        same = tensorflow_same(x, kernel, stride, dilation)
        return x, "valid" if any(same) else "same"
    if wanted == tensorflow_same(x, kernel, stride, dilation):
        return KerasProxy(x.tensor, x.axes), "same"
    keras = kit()

    top, bottom, left, right = wanted
    # a layer that compilers fuse into the convolution
    layer = keras.layers.ZeroPadding2D(((top, bottom), (left, right)), name=layer_name(PADDING))
    return KerasProxy(layer(x.tensor), x.axes), "valid"


def tensorflow_same(
    x: KerasProxy, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    sizes = x.tensor.shape[1:3]
    sides = [same_padding(*axis) for axis in zip(sizes, kernel, stride, dilation, strict=True)]
    return (*sides[0], *sides[1])
