"""TensorFlow's 'same' padding in torch: identical numbers, and free where torch pads by itself.

'same' gives ``ceil(size / stride)`` outputs and pads just enough for them, the odd pixel
*after* the image. Of a strided window that depends on the image size, which torch's own
``padding`` does not. Where an exporter traces, the size is no number but what will be computed:
nothing here asks how large it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number, or (vertical, horizontal), as the latter."""
    vertical, horizontal = (value, value) if isinstance(value, int) else value
    return vertical, horizontal


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Pixels that 'same' adds before and after one axis of an image.

    Source: TensorFlow's documentation of ``tf.nn`` ("Notes on padding").
    """
    span = dilation * (kernel - 1) + 1
    total = span - 1
    if stride > 1:  # the last window begins on the last pixel that a step of `stride` reaches
        total = total - (size - 1) % stride if span > 1 else 0
    if span < stride:
        total = max(total, 0)
    return total // 2, total - total // 2


def _alike(*sides: tuple[int, int]) -> bool:
    """Is it known to be as much before as after, on each axis?"""
    return all(isinstance(before, int) and before == after for before, after in sides)


def conv2d_same(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``F.conv2d`` with 'same' padding: (N, C, H, W) to (N, K, ceil(H/stride), ceil(W/stride)).

    ``F.pad`` copies the image, so it is used only where the two sides differ.
    """
    top, bottom = same_padding(x.shape[2], weight.shape[2], stride[0], dilation[0])
    left, right = same_padding(x.shape[3], weight.shape[3], stride[1], dilation[1])
    if _alike((top, bottom), (left, right)):
        return F.conv2d(x, weight, bias, stride, (top, left), dilation, groups)
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride, 0, dilation, groups)


def conv_transpose2d_same(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: tuple[int, int] = (2, 2)
) -> Tensor:
    """``F.conv_transpose2d`` with 'same' padding: (N, C, H, W) to (N, K, H*stride, W*stride).

    A function of its own in the export table: torch has to cut one pixel off where the
    kernel exceeds the stride by an odd number, and the chip should never see that slice.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(conv_transpose2d_same, (x,), x, weight, bias, stride)
    excess = [max(k - s, 0) for k, s in zip(weight.shape[2:], stride, strict=True)]
    missing = [max(s - k, 0) for k, s in zip(weight.shape[2:], stride, strict=True)]
    y = F.conv_transpose2d(x, weight, bias, stride, [e // 2 for e in excess], missing)
    if not any(e % 2 for e in excess):
        return y
    return y[:, :, : x.shape[2] * stride[0], : x.shape[3] * stride[1]]


def widened(
    size: int, kernel: int, stride: int, padding: int, largest: int
) -> tuple[int, int] | None:
    """A kernel that with 'same' padding looks where torch's looks, along one axis.

    'same' pads a strided 3x3 kernel at the end of an even image only, torch on both sides. A 4x4
    kernel whose last row and column are zero begins where torch's begins.

    Returns
    -------
    Size of the kernel, and how many of its first weights are zero; None where 'same' gives fewer
    windows than torch, or the kernel would be larger than `largest`.
    """
    if (size + 2 * padding - kernel) // stride + 1 > -(-size // stride):
        return None
    forms = ((k, offset) for k in range(kernel, largest + 1) for offset in range(k - kernel + 1))
    return next((f for f in forms if same_padding(size, f[0], stride)[0] == padding + f[1]), None)


def conv2d_widened(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> Tensor:
    """``F.conv2d`` itself; exported, its kernel is `widened` so that 'same' padding will do."""
    if has_torch_function_unary(x):
        return handle_torch_function(conv2d_widened, (x,), x, weight, bias, stride, padding, groups)
    return F.conv2d(x, weight, bias, stride, padding, 1, groups)


def stuffing_offset(kernel: int, stride: int, padding: int, extra: int) -> int | None:
    """Where in its block of `stride` pixels the one that is not zero lies.

    A transposed convolution is a convolution over an image with zeros between its pixels. None
    where the output is not `stride` times as large, or 'same' padding does not line up.
    """
    offset = kernel // 2 - padding
    fits = kernel + extra - 2 * padding == stride and 0 <= offset < stride
    return offset if fits else None


def conv_transpose2d_upsampled(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, extra: int
) -> Tensor:
    """``F.conv_transpose2d`` itself; exported, an upsampling, a multiplication, a convolution."""
    if has_torch_function_unary(x):
        return handle_torch_function(
            conv_transpose2d_upsampled, (x,), x, weight, bias, stride, padding, extra
        )
    return F.conv_transpose2d(x, weight, bias, stride, padding, extra)


def max_pool2d_same(x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """Max pooling with 'same' padding: (N, C, H, W) to (N, C, ceil(H/stride), ceil(W/stride))."""
    if has_torch_function_unary(x):
        return handle_torch_function(max_pool2d_same, (x,), x, kernel, stride)
    top, bottom = same_padding(x.shape[2], kernel, stride)
    left, right = same_padding(x.shape[3], kernel, stride)
    if _alike((top, bottom), (left, right)):
        return F.max_pool2d(x, kernel, stride, (top, left))
    # Repeating the border cannot change a maximum, and unlike -inf it survives int8.
    return F.max_pool2d(F.pad(x, (left, right, top, bottom), mode="replicate"), kernel, stride)


def fused_conv2d_same(conv: torch.nn.Conv2d, x: Tensor) -> Tensor:
    """Apply `conv` with 'same' padding, whatever padding it was built with.

    YOLO's ``fuse()`` folds batch norm into a plain ``nn.Conv2d`` that copies the padding
    *attribute*; for a strided convolution no value of it is right at every image size.
    """
    return conv2d_same(x, conv.weight, conv.bias, conv.stride, conv.dilation, conv.groups)
