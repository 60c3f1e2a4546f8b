from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from synet.commands.compare import table
from synet.layerwise.errors import Closeness, Comparison, LayerError, Sums


def closeness(*pairs, limit=math.inf):
    sums = Sums((-limit, limit))
    for exact, found in pairs:
        sums.add(np.array(exact, np.float32), np.array(found, np.float32))
    return sums.closeness()


def test_powers_are_summed_over_images():
    """Not decibels averaged: the loud image counts more."""
    random = np.random.default_rng(0)
    exact = [random.normal(0, size, (3, 5, 7)).astype(np.float32) for size in (1, 30)]
    found = [values + random.normal(0, 0.1, values.shape) for values in exact]
    one, other = np.stack(exact).astype(float), np.stack(found).astype(np.float32).astype(float)
    result = closeness(*zip(exact, found, strict=True))
    expected = 10 * math.log10((one**2).sum() / ((one - other) ** 2).sum())
    assert result.sqnr_db == pytest.approx(expected, abs=1e-3)
    cosine = (one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum())
    assert result.cosine == pytest.approx(cosine, abs=1e-6)
    assert result.largest == pytest.approx(np.abs(one - other).max(), rel=1e-5)


def test_a_tenth_off_is_20_decibels():
    assert closeness(([1, 2, -3], [1.1, 2.2, -3.3])).sqnr_db == pytest.approx(20, abs=1e-4)
    assert closeness(([1, 0], [0, 1])).cosine == 0
    assert closeness(([1, 2], [-1, -2])).cosine == pytest.approx(-1)


@pytest.mark.parametrize(
    ("exact", "found", "expected"),
    [
        ([1, -2], [1, -2], Closeness(math.inf, 1, 0)),
        ([0, 0], [0, 0], Closeness(math.inf, 1, 0)),
        ([0, 0], [0, 3], Closeness(-math.inf, 0, 3)),
        ([0, 3], [0, 0], Closeness(0, 0, 3)),
        ([], [], Closeness(math.inf, 1, 0)),
    ],
)
def test_signals_without_noise_and_noise_without_signal(exact, found, expected):
    assert closeness((exact, found)) == expected


def test_values_beyond_the_limit_count_as_it():
    assert closeness(([-50, 4], [-8, 4]), limit=8) == Closeness(math.inf, 1, 0)
    assert closeness(([-50, 4], [-7, 4]), limit=8).largest == 1


def error(layer, own, accumulated, read=None, audible=1.0, cosine=0.5):
    return LayerError(
        layer,
        "CONV_2D",
        (1, 4, 6, 8),
        Closeness(own, cosine, 0.25),
        Closeness(accumulated, cosine, 0.5),
        Closeness(read, cosine, 9.0) if read is not None else None,
        step=0.1,
        audible=audible,
    )


ALL = Comparison(
    (
        error("input", math.inf, math.inf),
        error("good", 40, 12),
        error("loud", 50, 30, read=3),
        error("bad", 10, 10, read=20),
        error("silent", 0, 0, audible=0.0005),
        error("lost", -math.inf, -math.inf),
    ),
    (Path("a.png"), Path("b.png")),
    {"scores": Closeness(12.3, 0.9), "x1y1": Closeness(math.inf, 1)},
)


def test_the_worst_is_first_and_the_faint_are_last():
    assert [found.layer for _, found in ALL.worst()] == [
        "lost",
        "loud",
        "bad",
        "good",
        "input",
        "silent",
    ]
    assert [number for number, _ in ALL.worst()] == [5, 2, 3, 1, 0, 4]
    assert [found.lost_db for _, found in ALL.worst()[:3]] == [-math.inf, 3, 10]
    assert [found.is_faint for found in ALL.layers].count(True) == 1


def shown(table):
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


def test_the_table():
    text = shown(table(ALL, 2))
    assert "lost" in text and "loud" in text and "bad" not in text
    assert "4 more layers; last, too quiet on these images to be judged: 1" in text
    row = next(line for line in text.splitlines() if "loud" in line)
    assert row.replace("│", " ").split() == (
        "2 loud CONV_2D 4x6x8 50.0 0.5000 3.0 30.0 0.5000 2.5".split()
    )
    assert "exact" in shown(table(ALL)) and "more layers" not in shown(table(ALL))


def test_one_line():
    assert ALL.verdict() == (
        "6 layers on 2 images: outputs scores 12.3 dB, x1y1 exact; most is lost in lost "
        "(CONV_2D, number 5): -inf dB"
    )


def test_records_are_strict_json():
    def refuse(constant):
        raise AssertionError(constant)

    records = json.loads(json.dumps(ALL.records()), parse_constant=refuse)
    assert [record["number"] for record in records] == [5, 2, 3, 1, 0, 4]
    lost, loud, *_ = records
    assert (lost["own_sqnr_db"], lost["read_sqnr_db"]) == ("-inf", None)
    assert (loud["lost_db"], loud["shape"], loud["own_largest"]) == (3, "1x4x6x8", 0.25)
    assert all(record.keys() == lost.keys() for record in records)
    assert [record["faint"] for record in records] == [False] * 5 + [True]
