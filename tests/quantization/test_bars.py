"""What a file misses is an error, or is told where it is kept by force."""

from __future__ import annotations

import pytest

from synet.quantization.bars import Bars
from synet.system.errors import UnfitError, VerificationError


def test_the_first_bar_that_is_missed_is_named_and_the_others_are_counted():
    bars = Bars(force=False)
    bars.hold([], VerificationError)
    bars.note(["too slow"])
    with pytest.raises(UnfitError, match=r"^too large \(and 1 more\); no file was written"):
        bars.hold(["too large", "too wide"], UnfitError)
    assert bars.missed == ["too slow"]


def test_by_force_all_are_kept_in_order():
    bars = Bars(force=True)
    bars.hold(["too large"], UnfitError)
    bars.note(["too slow"])
    bars.hold(["too wide"], VerificationError)
    assert bars.missed == ["too large", "too slow", "too wide"]
