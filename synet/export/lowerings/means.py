"""Means over windows of an image, as depthwise convolutions whose weights are all the same.

A large window is a few in a row, which every chip has: means of means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil, gcd
from typing import Any

import numpy as np

from synet.chips import OpRule
from synet.export.lowerings.convolution import convolution
from synet.export.lowerings.windows import (
    Fit,
    Windows,
    fits,
    picked,
    pixels,
    spelled,
    tell,
    whole,
    with_zeros,
)
from synet.export.proxy import join
from synet.export.registry import kit, rule_of, spelling


def sums(x: Any, windows: Sequence[Windows], share: float) -> Any:
    """The sum of each window of an image times `share`; None where there is no way."""
    if rule_of("DEPTHWISE_CONV_2D") is None:
        return None
    y = _convolved(x, windows, share)
    if y is not None:
        return y
    rows, columns = windows
    if any(each.before or each.behind for each in windows):
        return sums(*with_zeros(x, windows), share)
    if not rows.is_pixels and not columns.is_pixels:
        y = sums(x, (rows, pixels(columns.size)), 1 / rows.kernel)
        return None if y is None else sums(y, (pixels(rows.count), columns), share * rows.kernel)
    axis = 2 if rows.is_pixels else 1
    return each_cut(x, axis, windows[axis - 1].spans, lambda cut: _whole(cut, axis, share))


def _whole(x: Any, axis: int, share: float) -> Any:
    """The sum over an axis times `share`."""
    return sums(x, along(x, axis, whole(x.shape[axis])), share)


def along(x: Any, axis: int, windows: Windows) -> list[Windows]:
    """Windows of one axis of an image: of the other, pixels."""
    return [windows if at == axis else pixels(n) for at, n in enumerate(x.shape[1:3], 1)]


def each_cut(
    x: Any, axis: int, spans: Sequence[tuple[int, int]], function: Callable[[Any], Any]
) -> Any:
    """A few stretches of an axis, each by itself, and what has become of them side by side."""
    if len(spans) > spelling().parts:
        return None
    cuts = [x[(*(slice(None),) * axis, slice(*span))] for span in spans]
    return join([function(cut) for cut in cuts], axis, "windows")


def _convolved(x: Any, windows: Sequence[Windows], share: float) -> Any:
    """The sums, as convolutions: large windows are sums of sums."""
    if all(each.is_pixels for each in windows) and share == 1:
        return x
    rule = rule_of("DEPTHWISE_CONV_2D") or OpRule()
    found = fits(windows, rule, even=True)
    if found and not _skips(found):
        return _summed(x, windows, found, share)
    tiled = [
        (tile, parts)
        for tile in _tiles(windows, rule)
        if (parts := fits(tile, rule, even=True)) and not (found and _skips(parts))
    ]
    if tiled:
        tile, parts = min(tiled, key=lambda each: _skips(each[1]))
        y = _summed(x, tile, parts, 1 / (tile[0].kernel * tile[1].kernel))
        return _convolved(y, *_of_tiles(windows, tile, share))
    if found is None:
        return None
    tell(x.shape[3], windows, found)
    return _summed(x, windows, found, share)


def _summed(x: Any, windows: Sequence[Windows], found: Sequence[Fit], share: float) -> Any:
    kernel = [each.kernel for each in windows]
    weights = spelled(np.full((x.shape[3], 1, *kernel), share, np.float32), windows, found)
    rows, columns = found
    strides = rows.stride, columns.stride
    y = convolution(x, weights, None, strides, depthwise=True, name="mean")
    return picked(y, windows, found)


def _skips(found: Sequence[Fit]) -> bool:
    """Does the convolution give pixels that nobody wants?"""
    return any(f.step != 1 for f in found)


def _tiles(windows: Sequence[Windows], rule: OpRule) -> Iterator[list[Windows]]:
    """Windows side by side that those of `windows` are made of, the largest first."""
    for size in range(spelling().kernel_within(rule), 1, -1):
        tried = (_tile(each, size) for each in windows)
        tile = [each for each in tried if each is not None]
        if len(tile) == len(windows) and not all(each.is_pixels for each in tile):
            yield tile


def _tile(windows: Windows, size: int) -> Windows | None:
    if windows.is_pixels:
        return windows
    alone = windows.count == 1 and not windows.before and windows.kernel >= windows.size
    if alone:
        size = min(size, windows.size)
    elif gcd(windows.kernel, windows.stride, windows.before, size) != size:
        return None
    return Windows(windows.size, size, size, 0, ceil(windows.size / size))


def _of_tiles(
    windows: Sequence[Windows], tile: Sequence[Windows], share: float
) -> tuple[list[Windows], float]:
    """`windows`, counted in tiles, and the share of a tile's mean."""
    left = []
    for each, part in zip(windows, tile, strict=True):
        share *= part.kernel
        if part.is_pixels:
            left.append(each)
            continue
        kernel, stride = ceil(each.kernel / part.kernel), max(each.stride // part.kernel, 1)
        before = each.before // part.kernel
        left.append(replace(each, size=part.count, kernel=kernel, stride=stride, before=before))
    return left, share


def shared(x: Any, lengths: Sequence[np.ndarray], kernel: Sequence[int]) -> Any:
    """Means over `kernel` pixels, as means over those that each window counts."""
    rows, columns = (k / np.asarray(n, np.float32) for n, k in zip(lengths, kernel, strict=True))
    if (rows == 1).all() and (columns == 1).all():
        return x
    return kit().ops.multiply(x, (rows[:, None] * columns)[None, :, :, None])
