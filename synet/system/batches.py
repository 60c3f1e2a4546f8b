"""Many things, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from synet.system.errors import DataError

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """All `items` in lists of `size`, the last one of what is left; of no more are held.

    Where an item cannot be read, those before it come first.
    """
    batch: list[T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
