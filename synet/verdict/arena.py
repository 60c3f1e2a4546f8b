"""How little memory a compiler can do with, and what less of it costs.

A compiler fills the arena that it is given, as far as that saves it anything, so what a model
needs is found by giving it less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

SAME = 1e-4  # of all cycles: schedules that are told to be alike differ by as much
FINE = 0.015  # of the memory, that the least may be off
STEPS = 5  # arenas between the largest and the smallest, tried in any case if so many differ
AT_ONCE = 2  # runs of the compiler


class Tried(Protocol):
    """What a compiler made of a file in an arena that was to be of `arena_bytes`."""

    arena_bytes: int
    sram_bytes: int
    cycles: int


T = TypeVar("T", bound=Tried)


def explored(largest: T, smallest_bytes: int, ask: Callable[[int], T | None]) -> list[T]:
    """What a compiler makes of a file in smaller arenas, after what it makes of it in the largest.

    Parameters
    ----------
    largest
        In all the memory that there is.
    smallest_bytes
        What it does with where memory is all that counts.
    ask
        Compiles for an arena of that size, which takes seconds; None where that fails.
    """
    found = [largest]

    def free(one: T) -> bool:
        return one.cycles <= (1 + SAME) * largest.cycles

    def tried(limits: Iterable[int]) -> list[T]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = [one for one in pool.map(ask, limits) if one is not None]
        found.extend(made)
        return made

    span = largest.sram_bytes - smallest_bytes
    if span > FINE * largest.sram_bytes and not any(map(free, tried([smallest_bytes]))):
        steps = min(STEPS, int(span / (FINE * largest.sram_bytes)) - 1)
        tried(smallest_bytes + span * step // (steps + 1) for step in range(steps, 0, -1))
        least = min(one.sram_bytes for one in found if free(one))
        costly = [one.arena_bytes for one in found if not free(one)]
        below = max((limit for limit in costly if limit < least), default=smallest_bytes)
        while least - below > FINE * least:
            middle = (least + below) // 2
            better = [one for one in tried([middle]) if free(one) and one.sram_bytes < least]
            least, below = (better[0].sram_bytes, below) if better else (least, middle)
    return found


def least_at_no_cost(found: Sequence[T]) -> T:
    """The one with the least memory of those that take no more cycles than the first.

    Of several, the one with the fewest cycles.
    """
    bar = (1 + SAME) * found[0].cycles
    return min(
        (one for one in found if one.cycles <= bar), key=lambda one: (one.sram_bytes, one.cycles)
    )


def frontier(found: Iterable[T], most_bytes: int) -> list[T]:
    """Those of at most so many bytes that no smaller one is as fast as, the largest first."""
    kept: list[T] = []
    for one in sorted(found, key=lambda one: (one.sram_bytes, one.cycles)):
        is_faster = not kept or one.cycles < (1 - SAME) * kept[-1].cycles
        if is_faster and one.sram_bytes <= most_bytes:
            kept.append(one)
    return kept[::-1]
