"""Layers without a convolution: (N, C, H, W) in and out unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.layers.named import Named
from synet.layers.same import max_pool2d_same

# Plain torch is chip-safe here, and YOLO's code asks for these very types
# (``type(m) is nn.BatchNorm2d`` sets eps and momentum).
BatchNorm = nn.BatchNorm2d
Linear = nn.Linear

# Images that are joined may differ by so much: upsampling by 4 overshoots by up to three.
SURPLUS_PX = 3


class ReLU(nn.Module, metaclass=Named):
    """Rectifier, clipped at `max_value` (6: what int8 hardware fuses into a convolution)."""

    def __init__(self, max_value: float | None = 6.0) -> None:
        super().__init__()
        self.max_value = max_value

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.max_value == 6.0:
            return F.relu6(x)
        return F.relu(x) if self.max_value is None else torch.clamp(x, 0.0, self.max_value)


class Upsample(nn.Upsample, metaclass=Named):
    """Nearest-neighbour upsampling by a whole factor: (N, C, H, W) to (N, C, H*scale, W*scale)."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__(scale_factor=float(scale), mode="nearest")


class MaxPool2d(nn.Module, metaclass=Named):
    """Max pooling with 'same' padding, a large stride-1 window as a chain of 3x3 windows.

    Two 3x3 windows in a row see 5x5 pixels, four see 9x9: the maximum is exactly that of
    the large window, and a chip with 3x3 pooling can run it.
    """

    def __init__(self, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.stride != 1 or self.kernel_size % 2 == 0:
            return max_pool2d_same(x, self.kernel_size, self.stride)
        for _ in range((self.kernel_size - 1) // 2):
            x = max_pool2d_same(x, 3)
        return x

    def extra_repr(self) -> str:  # noqa: D102
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class Cat(nn.Module, metaclass=Named):
    """Concatenation of a list of tensors along `dimension` (torch's, 1 = channels).

    Images of different sizes are cut to the smallest, at the right and at the bottom: where
    a stride does not divide the image, what comes back from upsampling is a pixel larger.

    Raises
    ------
    ValueError
        The sizes differ by more than that.
    """

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        self.d = dimension

    def forward(self, x: Sequence[Tensor]) -> Tensor:  # noqa: D102
        return torch.cat(_cut(x) if self.d == 1 else list(x), self.d)


class Add(nn.Module, metaclass=Named):
    """Sum of a list of tensors of as many channels each, cut as `Cat` cuts them."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:  # noqa: D102
        if any(term.shape[1] != x[0].shape[1] for term in x):  # torch would repeat a single channel
            raise ValueError(f"a sum of {' and '.join(str(t.shape[1]) for t in x)} channels")
        total, *rest = _cut(x)
        for term in rest:
            total = total + term
        return total


def _cut(images: Sequence[Tensor]) -> list[Tensor]:
    sizes = [tuple(x.shape[2:]) for x in images]
    (height, tallest), (width, widest) = (
        (min(side), max(side)) for side in zip(*sizes, strict=True)
    )
    if max(tallest - height, widest - width) > SURPLUS_PX:
        raise ValueError(
            f"images of {' and '.join(f'{h}x{w}' for h, w in sizes)} do not belong together"
        )
    return [
        x if size == (height, width) else x[:, :, :height, :width]
        for x, size in zip(images, sizes, strict=True)
    ]


class Grayscale(nn.Module, metaclass=Named):
    """Luma of an RGB image: (N, 3, H, W) to (N, 1, H, W); one channel passes through.

    Training code feeds colour images; the chip's camera, and the exported model, have one
    channel. The weights are those of ITU-R BT.601, which OpenCV uses too.
    """

    weights = (0.299, 0.587, 0.114)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if x.shape[1] == 1:
            return x
        return sum(w * x[:, i : i + 1] for i, w in enumerate(self.weights))


class GlobalAvgPool(nn.Module, metaclass=Named):
    """Mean over the image: (N, C, H, W) to (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return x.mean((2, 3), keepdim=True)
