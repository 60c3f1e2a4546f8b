"""What one operation stands for, and what is claimed of how near it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from synet.export.approximations import TABLE, gelu, hard_swish, mish, silu

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
    factor = row.best_factor([(-12.0, 12.0)])
    assert row.error_in((-12.0, 12.0), factor) == pytest.approx(row.error, abs=5e-4)
    least, most = row.factors
    assert least <= factor <= most
    for beyond in (least - 0.1, most + 0.1):
        assert row.error_in((-12.0, 12.0), beyond) > row.error


def test_a_close_one_is_within_a_step_of_int8_where_values_reach_8():
    for row in TABLE:
        assert row.is_close == (row.error < 8 / 255)


def test_small_values_want_another_factor():
    (row,) = (row for row in TABLE if row.is_close)
    assert row.best_factor([(-0.1, 0.1)]) == pytest.approx(4 / np.sqrt(2 * np.pi), abs=1e-3)
    assert row.best_factor([(-0.5, 0.5), (-8.0, 8.0)]) == row.best_factor([(-8.0, 8.0)])
    assert row.error_in((-1.0, 1.0), row.best_factor([(-1.0, 1.0)])) < 1e-3


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
