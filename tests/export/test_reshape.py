from __future__ import annotations

from itertools import permutations
from math import prod

import numpy as np
import pytest

from synet.export.reshape import groups, resize_steps, resolve_shape, stored_view

SIZES = (1, 1, 2, 2, 3, 4, 6)


def random_shape(random, total=None):
    """A few sizes with ones among them; of `total` values where that is given."""
    if total is None:
        return tuple(int(n) for n in random.choice(SIZES, random.integers(1, 5)))
    shape = []
    while total > 1:
        divisors = [n for n in range(2, total + 1) if total % n == 0]
        shape.append(int(random.choice(divisors)))
        total //= shape[-1]
    for _ in range(random.integers(0, 3)):
        shape.insert(random.integers(0, len(shape) + 1), 1)
    return tuple(shape) or (1,)


def stored(values, axes):
    """`values` as they lie in memory: dimension i on axis ``axes[i]``."""
    return values.transpose(np.argsort(axes))


def cases(seed, count=150):
    random = np.random.default_rng(seed)
    for _ in range(count):
        old = random_shape(random)
        axes = tuple(int(i) for i in random.permutation(len(old)))
        yield old, axes, random_shape(random, prod(old))


@pytest.mark.parametrize("seed", range(20))
def test_a_view_of_the_stored_tensor_is_torchs_view(seed):
    for old, axes, new in cases(seed):
        values = np.arange(prod(old)).reshape(old)
        view = stored_view(old, axes, new)
        if view is None:
            continue
        shape, new_axes = view
        found = stored(values, axes).reshape(shape).transpose(new_axes)
        np.testing.assert_array_equal(found, values.reshape(new), f"{old} {axes} {new}")


@pytest.mark.parametrize("seed", range(5))
def test_where_there_is_none_there_is_none(seed):
    """Tried out: no order of the new dimensions would do."""
    refused = 0
    for old, axes, new in cases(seed):
        if stored_view(old, axes, new) is not None or len(new) > 5:
            continue
        refused += 1
        values = np.arange(prod(old)).reshape(old)
        for order in permutations(range(len(new))):
            shape = [new[dim] for dim in order]
            found = stored(values, axes).reshape(shape).transpose(np.argsort(order))
            assert (found != values.reshape(new)).any(), f"{old} {axes} {new}: {shape}"
    assert refused > 10


@pytest.mark.parametrize("seed", range(3))
def test_torchs_own_order_can_always_be_viewed(seed):
    for old, _, new in cases(seed):
        assert stored_view(old, range(len(old)), new) is not None


def test_the_views_of_a_detection_head():
    nhwc = (0, 3, 1, 2)
    split = stored_view((1, 24, 30, 40), nhwc, (1, 3, 8, 30, 40))
    assert split == ((1, 30, 40, 3, 8), (0, 3, 4, 1, 2))
    flat = stored_view((1, 24, 30, 40), nhwc, (1, 24, 1200))
    assert flat == ((1, 1200, 24), (0, 2, 1))
    assert stored_view((1, 24, 30, 40), nhwc, (1, 24 * 1200)) is None


@pytest.mark.parametrize("seed", range(5))
def test_groups_hold_the_same_values_and_cannot_be_smaller(seed):
    for old, _, new in cases(seed):
        runs = groups(old, new)
        assert [i for left, _ in runs for i in left] == list(range(len(old)))
        assert [j for _, right in runs for j in right] == list(range(len(new)))
        for left, right in runs:
            assert prod(old[i] for i in left) == prod(new[j] for j in right)
            heads = {prod(old[i] for i in left[:n]) for n in range(1, len(left))}
            tails = {prod(new[j] for j in right[:n]) for n in range(1, len(right))}
            assert not heads & tails - {1, prod(old[i] for i in left)}


@pytest.mark.parametrize(
    ("new", "shape"),
    [
        ((-1,), (24,)),
        ((4, -1), (4, 6)),
        ((2, -1, 3), (2, 4, 3)),
        ((24, -1), (24, 1)),
        ((24,), (24,)),
    ],
)
def test_the_size_that_is_left_out(new, shape):
    assert resolve_shape((2, 3, 4), new) == shape


@pytest.mark.parametrize("new", [(5, -1), (25,), (-1, -1), (0, -1), ()])
def test_a_shape_that_does_not_fit(new):
    with pytest.raises(ValueError, match=r"cannot view \(2, 3, 4\) as "):
        resolve_shape((2, 3, 4), new)


@pytest.mark.parametrize(
    ("before", "after", "sizes"),
    [
        ((3, 4), (6, 8), [(6, 8)]),
        ((3, 4), (24, 32), [(6, 8), (12, 16), (24, 32)]),
        ((3, 4), (18, 24), [(6, 8), (18, 24)]),
        ((3, 4), (9, 12), [(9, 12)]),
        ((3, 4), (6, 4), [(6, 4)]),
        ((3, 4), (7, 9), [(7, 9)]),
        ((3, 4), (3, 4), []),
    ],
)
def test_a_resize_goes_by_prime_factors(before, after, sizes):
    steps = resize_steps(before, after)
    assert [end for _, end in steps] == sizes
    assert [start for start, _ in steps] == [before, *sizes][: len(steps)]
