"""Batches are full but for the last, and lose nothing before an error."""

from __future__ import annotations

import pytest

from synet.system.batches import in_batches
from synet.system.errors import DataError


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(5, 2, [2, 2, 1]), (4, 2, [2, 2]), (2, 9, [2]), (0, 3, [])]
)
def test_batches(count, size, lengths):
    made = list(in_batches(iter(range(count)), size))
    assert [len(each) for each in made] == lengths
    assert sum(made, []) == list(range(count))


def test_what_comes_before_an_image_that_cannot_be_read_comes_first():
    def items():
        yield from "abc"
        raise DataError("d")

    batches = in_batches(items(), 2)
    assert [next(batches), next(batches)] == [["a", "b"], ["c"]]
    with pytest.raises(DataError, match="d"):
        next(batches)
