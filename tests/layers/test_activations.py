"""Activations in the form that a chip runs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synet.chips.record import ACTIVATIONS
from synet.layers.activations import CLASSES, SILU_SCALE, SiLU


def test_every_activation_of_a_chip_has_a_layer():
    assert CLASSES.keys() == ACTIVATIONS.keys()


def test_no_other_factor_brings_the_two_nearer():
    x = torch.linspace(-12, 12, 24001, dtype=torch.float64)

    def apart(scale: float) -> float:
        return float((F.gelu(x / scale) * scale - F.silu(x)).abs().max())

    assert apart(SILU_SCALE) < 0.0249
    assert all(apart(SILU_SCALE) < apart(SILU_SCALE + step) for step in (-0.01, 0.01))


@pytest.mark.parametrize("inplace", [False, True])
def test_silu_leaves_its_input_and_learns(inplace):
    x = torch.linspace(-6, 6, 13, requires_grad=True)
    before = x.detach().clone()
    y = SiLU(inplace=inplace)(x)
    torch.testing.assert_close(y, F.silu(x), atol=0.0249, rtol=0)
    y.sum().backward()
    assert torch.equal(x.detach(), before) and x.grad.abs().min() > 0
