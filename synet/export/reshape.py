"""Shapes worked out beforehand: of a ``view`` that keeps the stored order, of a large resize."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def resolve_shape(old: Sequence[int], new: Sequence[int]) -> tuple[int, ...]:
    """Fill in the -1 of a ``view``.

    Raises
    ------
    ValueError
        The number of values would change.
    """
    known = prod(size for size in new if size != -1)
    shape = tuple(prod(old) // max(known, 1) if size == -1 else int(size) for size in new)
    if prod(shape) != prod(old):
        raise ValueError(f"cannot view {tuple(old)} as {tuple(new)}")
    return shape


def groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of dimensions of `old` and `new` that hold the same values.

    >>> groups((1, 24, 30, 40), (1, 3, 8, 1200))
    [([0], [0]), ([1], [1, 2]), ([2, 3], [3])]
    """
    found, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        left: list[int] = []
        right: list[int] = []
        a = b = 1
        while not (left and right and a == b):
            if i < len(old) and (a <= b or j == len(new)) and not (left and a == b):
                left.append(i)
                a *= old[i]
                i += 1
            elif j < len(new):
                right.append(j)
                b *= new[j]
                j += 1
            else:
                break  # only sizes of 1 were left on one side
        found.append((left, right))
    return found


def stored_view(
    old: Sequence[int], axes: Sequence[int], new: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Shape to give the stored tensor, and the new axes, for a view that needs no transpose.

    Parameters
    ----------
    old, new
        Torch shapes before and after.
    axes
        Stored axis of each dimension of `old`.

    Returns
    -------
    (stored shape, axes), or None where dimensions merge that do not lie side by side in
    their order.
    """
    runs = groups(old, new)
    for left, _ in runs:
        stored = [axes[i] for i in left if old[i] != 1]
        if any(b <= a for a, b in zip(stored, stored[1:], strict=False)):
            return None
        between = [
            axis
            for axis in range(min(stored, default=0), max(stored, default=0))
            if axis not in stored and old[list(axes).index(axis)] != 1
        ]
        if between:
            return None
    # A run lies where its first real axis lies; runs of ones go wherever their axis is.
    place = [
        min([axes[i] for i in left if old[i] != 1] or [axes[i] for i in left] or [len(axes)])
        for left, _ in runs
    ]
    order = sorted(range(len(runs)), key=lambda r: place[r])
    dims = [dim for r in order for dim in runs[r][1]]
    return tuple(new[d] for d in dims), tuple(dims.index(d) for d in range(len(new)))


def resize_steps(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Sizes from `before` to `after`: by one prime factor a step, where a whole factor leads there.

    Repeating pixels four times is repeating them twice, and twice again.

    >>> resize_steps((3, 4), (12, 16))
    [((3, 4), (6, 8)), ((6, 8), (12, 16))]
    """
    factor = after[0] // before[0]
    steps, size = [], tuple(before)
    if tuple(after) == tuple(n * factor for n in before):
        for prime in range(2, factor):
            while factor % prime == 0 and factor > prime:
                steps.append((size, tuple(n * prime for n in size)))
                size, factor = steps[-1][1], factor // prime
    return steps if size == tuple(after) else [*steps, (size, tuple(after))]
