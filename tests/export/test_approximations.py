"""What one operation stands for, and what is claimed of how near it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from synet.export.approximations import MIDDLES, TABLE, gelu, hard_swish, mish, silu

X = np.linspace(-12, 12, 6001)
TORCH = {
    silu: functional.silu,
    mish: functional.mish,
    gelu: functional.gelu,
    hard_swish: functional.hardswish,
}


def test_the_functions_are_those_of_torch():
    for ours, theirs in TORCH.items():
        np.testing.assert_allclose(ours(X), theirs(torch.from_numpy(X)).numpy(), atol=1e-9)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.was}-{row.by}")
def test_no_operation_is_farther_off_than_the_table_says(row):
    least, most = row.factors
    assert row.largest_error(-12, 12, most) == pytest.approx(row.error, abs=5e-4)
    assert row.largest_error(-0.1, 0.1, least) <= row.largest_error(-0.1, 0.1, most)
    for beyond in (most - 0.1, most + 0.1):
        assert row.largest_error(-12, 12, beyond) > row.error + 1e-3


def test_a_close_one_is_within_a_step_of_int8_where_values_reach_8():
    for row in TABLE:
        assert row.is_close == (row.error < 8 / 255)


def test_the_factor_is_best_for_the_values_that_there_are():
    (row,) = (row for row in TABLE if row.is_close and row.freedom)
    small = shares(0.05)
    assert row.best_factor(small) == pytest.approx(4 / np.sqrt(2 * np.pi), abs=1e-3)
    assert row.mean_error(small, row.best_factor(small)) < 1e-4
    usual = shares(1.0)
    best = row.best_factor(usual)
    assert 1.62 < best < 1.7
    at_most = row.mean_error(usual, row.factors[1])  # of the least largest error
    assert row.mean_error(usual, best) < at_most / 2


def shares(deviation):
    """Of values about 0."""
    density = np.exp(-((MIDDLES / deviation) ** 2) / 2)
    return density / density.sum()


def test_what_has_no_stand_in_has_none():
    """As the module says: as far off as the functions are worth where they bend."""
    x = torch.from_numpy(X)
    slopes = (0.01 * n for n in range(100))
    near = (x > -6) & (x < 6)
    off = [
        float((functional.elu(x) - functional.leaky_relu(x, a))[near].abs().max()) for a in slopes
    ]
    assert min(off) == pytest.approx(0.44, abs=0.01)
    assert float((functional.softplus(x) - x.relu()).max()) == pytest.approx(0.69, abs=0.01)
