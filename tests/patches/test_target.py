"""What a process may be patched for, and for what else it may not be patched then."""

from __future__ import annotations

import pytest

from synet.patches.target import REPAIRS_ALONE, only, only_or_own, own
from synet.system.errors import ChipError


@pytest.mark.parametrize(
    ("target", "other", "excluded"),
    [
        (only("katana"), only("katana"), False),
        (only("katana"), only("sabre"), True),
        (only("katana"), own("sabre"), False),  # it stays as it is
        (own("katana"), only("sabre"), False),  # it becomes stricter
        (own("katana"), own("sabre"), False),
        (REPAIRS_ALONE, REPAIRS_ALONE, False),
        (REPAIRS_ALONE, own("katana"), True),
        (only("katana"), REPAIRS_ALONE, True),
        (only("sabre", "silu"), only("sabre"), False),  # it stays as it is
        (only("sabre"), only("sabre", "silu"), True),
        (own("sabre"), only("sabre", "silu"), False),  # it becomes stricter
    ],
)
def test_what_goes_together(target, other, excluded):
    assert target.excludes(other) is excluded


def test_no_chip_is_each_models_own():
    assert only_or_own(None, "sabre") == own("sabre") != only_or_own("sabre", "katana")


def test_the_activation_is_told():
    assert str(only("sabre", "silu")) == "sabre with silu" and str(only("sabre")) == "sabre"


@pytest.mark.parametrize("make", [only, own])
def test_a_chip_has_some_activations(make):
    with pytest.raises(ChipError, match="katana has no activation 'silu'; it has relu6"):
        make("katana", "silu")


@pytest.mark.parametrize("name", ["katanna", ""])
@pytest.mark.parametrize("make", [only, own, lambda name: only_or_own(name, "katana")])
def test_there_is_no_such_chip(make, name):
    with pytest.raises(ChipError, match=f"no chip is named '{name}'"):
        make(name)
