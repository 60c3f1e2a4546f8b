"""Pools to a given size, whose windows torch lays over the image as evenly as it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from synet.export.lowerings.means import along, each_cut
from synet.export.lowerings.pooling import (
    max_of_axis,
    max_of_image,
    max_pool2d,
    mean_of_axis,
    mean_of_image,
    mean_of_windows,
)
from synet.export.lowerings.windows import Windows, is_within
from synet.export.proxy import NCHW, KerasProxy, as_image
from synet.export.registry import lowers, rule_of

Spans = Sequence[tuple[int, int]]


@lowers("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(x: KerasProxy, output_size: Any) -> KerasProxy:
    x, spans = as_image(x), _spans(x, output_size)
    if all(len(axis) == 1 for axis in spans):
        return mean_of_image(x)
    evened = (_even(n, axis) for n, axis in zip(x.shape[2:], spans, strict=True))
    windows = [each for each in evened if each is not None]
    if len(windows) == len(spans) and not any(len(axis) == 1 for axis in spans):
        return mean_of_windows(x, windows)
    return _by_axis(x, spans, mean_of_axis, mean_of_windows)


@lowers("adaptive_max_pool2d")
def _adaptive_max_pool2d(
    x: KerasProxy, output_size: Any, return_indices: bool = False
) -> KerasProxy:
    if return_indices:
        raise ValueError("return_indices=True")
    x, spans = as_image(x), _spans(x, output_size)
    if all(len(axis) == 1 for axis in spans):
        return max_of_image(x)
    return _by_axis(x, spans, max_of_axis, _max_of_windows)


def _spans(x: KerasProxy, output_size: Any) -> list[Spans]:
    """Where each window of an adaptive pool begins and ends, along both axes."""
    sizes = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    if len(sizes) == 1:
        sizes *= 2
    return [
        [(i * n // size, -((-i - 1) * n // size)) for i in range(size)]
        for n, wanted in zip(x.shape[2:], sizes, strict=True)
        for size in [n if wanted is None else int(wanted)]
    ]


def _even(size: int, spans: Spans) -> Windows | None:
    """Those windows, if all have one size and one distance."""
    (start, end), stride = spans[0], (spans[1][0] if len(spans) > 1 else size)
    if stride < 1 or spans != [(i * stride, i * stride + end) for i in range(len(spans))]:
        return None
    return Windows(size, end - start, stride, 0, len(spans))


def _by_axis(
    x: KerasProxy,
    spans: Sequence[Spans],
    of_axis: Callable[..., Any],
    of_windows: Callable[[KerasProxy, Sequence[Windows]], KerasProxy | None],
) -> KerasProxy:
    """A pool along the height, and one along the width."""
    for axis, found in enumerate(spans, 1):
        windows = _even(x.tensor.shape[axis], found)
        if len(found) == 1:
            x = KerasProxy(of_axis(x.tensor, axis), NCHW)
            continue
        even = of_windows(x, along(x.tensor, axis, windows)) if windows else None
        if even is not None:
            x = even
            continue
        y = each_cut(x.tensor, axis, found, partial(of_axis, axis=axis))
        if y is None:
            size = x.tensor.shape[axis]
            raise ValueError(f"{len(found)} windows over {size} pixels, of which few chips have")
        x = KerasProxy(y, NCHW)
    return x


def _max_of_windows(x: KerasProxy, windows: Sequence[Windows]) -> KerasProxy | None:
    """The maximum of each, if the chip has such a pool."""
    if all(each.is_pixels for each in windows):
        return x
    if not is_within(rule_of("MAX_POOL_2D"), windows):
        return None
    kernel, stride = (tuple(getattr(w, key) for w in windows) for key in ("kernel", "stride"))
    return max_pool2d(x, kernel, stride)
