"""Windows over an image, in convolutions that the chip has.

A chip limits kernel, stride and dilation, and may pad as 'same' does and not otherwise. Windows
beyond that are often among those of a convolution within: its kernel has zeros where torch's has
none, and of its pixels some are left out. The numbers are torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

import numpy as np

from synet.chips import OpRule
from synet.export.proxy import NCHW, KerasProxy, settle
from synet.export.registry import context, spelling
from synet.layers.same import same_padding


@dataclass(frozen=True)
class Windows:
    """The windows of one axis of an image: `count` of them, `stride` pixels apart.

    The first begins `before` pixels before the image, where all is zero.
    """

    size: int
    kernel: int = 1
    stride: int = 1
    before: int = 0
    count: int = 0
    dilation: int = 1

    @property
    def span(self) -> int:
        """Pixels from the first to the last that a window looks at."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def behind(self) -> int:
        """Zeros behind the image that the last window looks at."""
        reach = (self.count - 1) * self.stride + self.span
        return max(reach - self.before - self.size, 0)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where each begins and ends."""
        first = [i * self.stride - self.before for i in range(self.count)]
        return [(at, at + self.span) for at in first]

    @property
    def is_pixels(self) -> bool:
        """Is each pixel a window of its own?"""
        return self == pixels(self.size)


@dataclass(frozen=True)
class Fit:
    """'same' windows among which the wanted ones are: from `first` on, every `step`-th.

    In a kernel of `kernel` pixels the wanted one begins at `offset`.
    """

    kernel: int
    offset: int
    stride: int
    first: int
    step: int


def pixels(size: int) -> Windows:
    """One window a pixel."""
    return Windows(size, count=size)


def whole(size: int) -> Windows:
    """One window that holds all pixels."""
    return Windows(size, size, count=1)


def is_within(rule: OpRule | None, windows: Sequence[Windows]) -> bool:
    """Does an operation run on these windows as they are, but for their padding?"""
    return rule is not None and all(
        (rule.kernel_max is None or each.kernel <= rule.kernel_max)
        and (rule.strides is None or each.stride in rule.strides)
        and (rule.dilations is None or each.dilation in rule.dilations)
        for each in windows
    )


def with_zeros(x: Any, windows: Sequence[Windows]) -> tuple[Any, list[Windows]]:
    """`x` with the zeros that its windows look at as pixels of its own, and the windows there."""
    sides = tuple(side for each in windows for side in (each.before, each.behind))
    x = settle(KerasProxy(x, NCHW, sides)).tensor
    axes = zip(windows, x.shape[1:3], strict=True)
    return x, [replace(each, size=n, before=0) for each, n in axes]


def fit(windows: Windows, stride: int, kernel_max: int | None) -> Fit | None:
    """The smallest kernel of that stride which does."""
    if windows.count > 1 and windows.stride % stride:
        return None
    apart = windows.stride if windows.count > 1 else stride
    largest = windows.span + 2 * stride
    for kernel in range(windows.span, min(largest, kernel_max or largest) + 1):
        for offset in range(kernel - windows.span + 1):
            first = same_padding(windows.size, kernel, stride)[0] - offset - windows.before
            last = first + (windows.count - 1) * apart
            if first >= 0 == first % stride and last // stride < ceil(windows.size / stride):
                return Fit(kernel, offset, stride, first // stride, apart // stride)
    return None


def fits(windows: Sequence[Windows], rule: OpRule, even: bool) -> list[Fit] | None:
    """Fits of both axes, with strides as large as can be; of the same stride where `even`."""
    strides = sorted(spelling().strides_within(rule), reverse=True)
    pairs = [(s, s) for s in strides]
    if not even:
        pairs += [(a, b) for a in strides for b in strides if a != b]
    for pair in sorted(pairs, key=lambda p: -p[0] * p[1]):
        tried = (fit(each, s, rule.kernel_max) for each, s in zip(windows, pair, strict=True))
        found = [each for each in tried if each is not None]
        if len(found) == len(windows):
            return found
    return None


def spelled(w: np.ndarray, windows: Sequence[Windows], found: Sequence[Fit]) -> np.ndarray:
    """Weights of torch's (K, C, kH, kW), with zeros between and around them."""
    wide = np.zeros((*w.shape[:2], *(each.kernel for each in found)), np.float32)
    rows, columns = (
        slice(f.offset, f.offset + each.span, each.dilation)
        for each, f in zip(windows, found, strict=True)
    )
    wide[:, :, rows, columns] = w
    return wide


def picked(y: Any, windows: Sequence[Windows], found: Sequence[Fit]) -> Any:
    """The pixels of an image that are wanted ones."""
    cuts = [
        slice(f.first, f.first + (each.count - 1) * f.step + 1, f.step)
        for each, f in zip(windows, found, strict=True)
    ]
    if all(cut == slice(0, n, 1) for cut, n in zip(cuts, y.shape[1:3], strict=True)):
        return y
    return y[(slice(None), *cuts)]


def tell(weights: int, windows: Sequence[Windows], found: Sequence[Fit]) -> None:
    """Say what windows in another form cost, with so many `weights` for each pixel of a kernel."""
    strides, dilations, steps, kernels = (
        "x".join(map(str, pair))
        for pair in (
            [each.stride for each in windows],
            [each.dilation for each in windows],
            [f.step for f in found],
            [f.kernel for f in found],
        )
    )
    chip = context().chip
    has = chip.name if chip else "TFLite"
    before = weights * prod(each.count * each.kernel for each in windows)
    axes = zip(windows, found, strict=True)
    now = weights * prod(-(-each.size // f.stride) * f.kernel for each, f in axes)
    picks = "" if steps == "1x1" else f", of which it keeps one pixel of {steps}"
    context().tell(
        f"a convolution of {kernels} and stride {found[0].stride}x{found[1].stride}{picks}",
        f"it has a stride of {strides} and a dilation of {dilations} with what {has} has; the "
        f"numbers stay, the multiply-accumulates go from {before / 1e6:.2f} to {now / 1e6:.2f} "
        f"million",
    )
