"""What a mistake is told in: a line for each thing that is wrong, and no more."""

from __future__ import annotations

import pytest

from synet.chips import get_chip
from synet.patches.own_keys import MissingKey
from synet.safety.make_safe import UnsafeModel
from synet.system.errors import CheckpointError, SynetError
from synet.verdict.check import Violation


@pytest.mark.parametrize("kind", [SynetError, CheckpointError, MissingKey])
def test_a_line_for_each_argument_and_a_name_breaks_none(kind):
    error = kind("a\nb.pt: is odd", "row \x1b[31m2")
    assert error.told == "a\\nb.pt: is odd\nrow \\x1b[31m2"
    assert str(error) == "a\nb.pt: is odd\nrow \x1b[31m2"


def test_every_violation_has_a_line():
    found = [Violation("a", "is wrong", "mend it"), Violation("b", "is too", "mend it")]
    lines = UnsafeModel(get_chip("katana"), found).told.splitlines()
    assert lines == ["katana does not run this network:", *map(str, found)]
