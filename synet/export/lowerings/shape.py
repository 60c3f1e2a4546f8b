"""Joining, cutting and rearranging, and what changes nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.export.proxy import KerasProxy, as_numpy, in_order, join
from synet.export.registry import kit, lowers, spelling
from synet.export.reshape import groups, resolve_shape, stored_view


def with_rank(x: KerasProxy, rank: int) -> KerasProxy:
    """`x` with leading dimensions of one."""
    return x if x.ndim >= rank else reshape(x, (1,) * (rank - x.ndim) + tuple(x.shape))


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(axes))


@lowers("cat", "concat", "concatenate")
def _cat(tensors: Sequence[Any], dim: int = 0) -> KerasProxy:
    first = next(t for t in tensors if isinstance(t, KerasProxy))
    parts = [
        t.tensor
        if isinstance(t, KerasProxy) and t.axes == first.axes
        else in_order(t, inverse(first.axes))
        if isinstance(t, KerasProxy)
        else as_numpy(t).transpose(inverse(first.axes))
        for t in tensors
    ]
    return KerasProxy(join(parts, first.axis(dim), "cat"), first.axes)


@lowers("stack")
def _stack(tensors: Sequence[KerasProxy], dim: int = 0) -> KerasProxy:
    return _cat([_unsqueeze(t, dim) for t in tensors], dim)


@lowers("reshape", "view")
def reshape(x: KerasProxy, *shape: Any) -> KerasProxy:
    keras = kit()

    wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    shape = resolve_shape(x.shape, wanted)
    view = stored_view(x.shape, x.axes, shape)
    if view is None:  # dimensions merge that are stored apart
        joined = _joined(x, shape)
        if joined is not None:
            return joined
        shuffled = _shuffled(x, shape)
        return reshape(
            KerasProxy(in_order(x, range(x.ndim))) if shuffled is None else shuffled, shape
        )
    stored, axes = view
    if stored == tuple(x.tensor.shape):
        return KerasProxy(x.tensor, axes)
    return KerasProxy(keras.ops.reshape(x.tensor, stored), axes)


def _joined(x: KerasProxy, shape: Sequence[int]) -> KerasProxy | None:
    """The view as parts side by side, where it merges a short dimension with those behind it.

    What a detection head needs that puts the cells of one anchor behind those of another.
    """
    for left, right in groups(x.shape, shape):
        short = next((dim for dim in left if x.shape[dim] != 1), 0)
        is_first = x.axis(short) == min(x.axis(dim) for dim in left)
        few = 1 < x.shape[short] <= spelling().parts and not is_first
        if len(left) < 3 or len(right) != 1 or not few:
            continue
        sizes = list(shape)
        sizes[right[0]] //= x.shape[short]
        parts = [_slice(x, short, i, i + 1) for i in range(x.shape[short])]
        return _cat([reshape(part, sizes) for part in parts], right[0])
    return None


def _shuffled(x: KerasProxy, shape: Sequence[int]) -> KerasProxy | None:
    """`x`, its last two stored axes in the other order, if that makes the view possible.

    This is what a channel shuffle needs. Slices that are joined do it without TRANSPOSE, and cost
    no weights.
    """
    keras = kit()

    last = x.ndim - 1
    *rest, a, b = x.tensor.shape
    axes = [{last: last - 1, last - 1: last}.get(axis, axis) for axis in x.axes]
    if last < 3 or min(a, b) > spelling().parts or stored_view(x.shape, axes, shape) is None:
        return None
    rows = keras.ops.reshape(x.tensor, (1, -1, 1, a * b))
    if a <= b:
        parts = [rows[..., i * b : (i + 1) * b] for i in range(a)]
        columns = [keras.ops.reshape(part, (1, -1, b, 1)) for part in parts]
        y = join(columns, 3, "shuffle")
    else:
        y = join([rows[..., i::b] for i in range(b)], 3, "shuffle")
    return KerasProxy(keras.ops.reshape(y, (*rest, b, a)), axes)


@lowers("flatten")
def _flatten(x: KerasProxy, start_dim: int = 0, end_dim: int = -1) -> KerasProxy:
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return reshape(x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


@lowers("unsqueeze")
def _unsqueeze(x: KerasProxy, dim: int) -> KerasProxy:
    shape = list(x.shape)
    shape.insert(dim % (x.ndim + 1), 1)
    return reshape(x, shape)


@lowers("squeeze")
def _squeeze(x: KerasProxy, dim: int | None = None) -> KerasProxy:
    dims = range(x.ndim) if dim is None else [dim % x.ndim]
    return reshape(x, [n for d, n in enumerate(x.shape) if not (d in dims and n == 1)])


@lowers("permute")
def _permute(x: KerasProxy, *dims: Any) -> KerasProxy:
    order = dims[0] if isinstance(dims[0], Sequence) else dims
    return KerasProxy(x.tensor, [x.axes[d] for d in order])


@lowers("transpose", "swapaxes")
def _swap(x: KerasProxy, a: int, b: int) -> KerasProxy:
    dims = list(range(x.ndim))
    dims[a], dims[b] = dims[b], dims[a]
    return _permute(x, dims)


@lowers("split")
def _split(x: KerasProxy, sizes: Any, dim: int = 0) -> tuple[KerasProxy, ...]:
    total = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = np.cumsum([0, *sizes])
    return tuple(_slice(x, dim, a, b) for a, b in zip(starts, starts[1:], strict=False))


@lowers("chunk")
def _chunk(x: KerasProxy, chunks: int, dim: int = 0) -> tuple[KerasProxy, ...]:
    return _split(x, -(-x.shape[dim] // chunks), dim)


@lowers("unbind")
def _unbind(x: KerasProxy, dim: int = 0) -> tuple[KerasProxy, ...]:
    return tuple(_squeeze(part, dim) for part in _split(x, 1, dim))


def _slice(x: KerasProxy, dim: int, start: int, stop: int) -> KerasProxy:
    return _getitem(x, (slice(None),) * (dim % x.ndim) + (slice(int(start), int(stop)),))


@lowers("__getitem__")
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
    return y if tuple(y.shape) == tuple(shape) else reshape(y, shape)


@lowers("__setitem__")
def _setitem(x: KerasProxy, index: Any, value: Any) -> None:
    """What stands before, the new values, what stands behind: along the one axis that is cut."""
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = index[:at] + (slice(None),) * (x.ndim - len(index) + 1) + index[at + 1 :]
    cut = [d for d, item in enumerate(index) if item != slice(None)]
    if len(cut) != 1 or not isinstance(index[cut[0]], slice) or index[cut[0]].step not in (None, 1):
        raise ValueError(f"an assignment to {index}")
    (dim,), (start, stop, _) = cut, index[cut[0]].indices(x.shape[cut[0]])
    if not isinstance(value, KerasProxy):
        value = torch.as_tensor(value, dtype=torch.float32)
        value = value.expand([stop - start if d == dim else n for d, n in enumerate(x.shape)])
    parts = [_slice(x, dim, 0, start), value, _slice(x, dim, stop, x.shape[dim])]
    x.become(_cat([part for part in parts if part.shape[dim]], dim))


@lowers("expand", "broadcast_to")
def _expand(x: KerasProxy, *shape: Any) -> KerasProxy:
    keras = kit()

    given = shape[0] if isinstance(shape[0], Sequence) else shape
    x = with_rank(x, len(given))
    sizes = [n if wanted == -1 else wanted for n, wanted in zip(x.shape, given, strict=True)]
    if sizes == list(x.shape):
        return x
    # as chips do it that have no BROADCAST_TO
    times = [n if n != have else 1 for n, have in zip(sizes, x.shape, strict=True)]
    ones = np.ones([times[dim] for dim in inverse(x.axes)], np.float32)
    return KerasProxy(keras.ops.multiply(x.tensor, ones), x.axes)


@lowers("expand_as")
def _expand_as(x: Any, other: Any) -> Any:
    shape = tuple(other.shape)
    return _expand(x, shape) if isinstance(x, KerasProxy) else x.detach().expand(shape)


@lowers("pixel_shuffle")
def _pixel_shuffle(x: KerasProxy, factor: int) -> KerasProxy:
    n, c, h, w = x.shape
    x = _permute(reshape(x, (n, c // factor**2, factor, factor, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(x, (n, c // factor**2, h * factor, w * factor))


@lowers(
    *("contiguous", "detach", "float", "to", "cpu", "type_as", "type", "requires_grad_"),
    *("alias", "positive"),
    keeps_padding=True,
)
def _identity(x: KerasProxy, *_: Any, **__: Any) -> KerasProxy:
    return x


@lowers("clone", keeps_padding=True)
def _clone(x: KerasProxy, **_: Any) -> KerasProxy:
    return KerasProxy(x.tensor, x.axes, x.pad)  # what is done in place to one leaves the other


@lowers("dropout", F.dropout2d)
def _dropout(
    x: KerasProxy, p: float = 0.5, training: bool = True, inplace: bool = False
) -> KerasProxy:
    if training:
        raise ValueError("training mode: call .eval() on the model")
    return x
