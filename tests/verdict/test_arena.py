from __future__ import annotations

from dataclasses import dataclass

import pytest

from synet.verdict.arena import FINE, explored, frontier, least_at_no_cost


@dataclass(frozen=True)
class Made:
    arena_bytes: int
    sram_bytes: int
    cycles: int


def search(curve, largest, smallest):
    """The outcome with a compiler of that curve, and how often it was asked."""
    asked = []

    def ask(limit):
        asked.append(limit)
        sram = min(limit, largest)
        return Made(limit, sram, curve(sram)) if limit >= smallest else None

    first = Made(10 * largest, largest, curve(largest))
    return explored(first, smallest, ask), asked


@pytest.mark.parametrize("edge", [52_000, 60_000, 77_777, 99_000])
def test_the_edge_is_found_with_few_questions(edge):
    found, asked = search(lambda sram: 1000 if sram >= edge else 1100, 100_000, 50_000)
    least = least_at_no_cost(found)
    assert edge <= least.sram_bytes <= (1 + FINE) * edge + 1
    assert len(asked) <= 12 and len({*asked}) == len(asked)
    kept = frontier(found, least.sram_bytes)
    assert [one.cycles for one in kept] == [1000, 1100]
    assert [one.sram_bytes for one in kept] == [least.sram_bytes, 50_000]


def test_where_nothing_is_to_be_saved_nobody_is_asked():
    assert search(lambda sram: 1000, 50_300, 50_000)[1] == []


def test_where_the_smallest_costs_nothing_it_is_asked_once():
    found, asked = search(lambda sram: 1000, 100_000, 50_000)
    assert asked == [50_000] and least_at_no_cost(found).sram_bytes == 50_000


def test_cycles_that_are_told_to_be_the_same_count_as_that():
    found, _ = search(lambda sram: 1_000_000 + (sram < 80_000) * 60, 100_000, 50_000)
    assert least_at_no_cost(found).sram_bytes == 50_000
    found, _ = search(lambda sram: 1_000_000 + (sram < 80_000) * 600, 100_000, 50_000)
    assert least_at_no_cost(found).sram_bytes == pytest.approx(80_000, rel=FINE)


def test_a_compiler_may_fail_at_any_limit():
    first = Made(100, 100, 7)
    assert explored(first, 50, lambda limit: None) == [first]
