from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from synet.system.json_text import json_text


@dataclass(frozen=True)
class Record:
    name: str
    values: tuple[float, ...]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Record("a", (1.0, 2.0)), {"name": "a", "values": [1.0, 2.0]}),
        ({1: Record("b", ())}, {"1": {"name": "b", "values": []}}),
        ([float("nan"), float("inf"), -1.5], [None, None, -1.5]),
        (np.array([[1, 2]], np.uint8), [[1, 2]]),
        ({"x": np.float32("nan"), "y": np.int64(3)}, {"x": None, "y": 3}),
        (
            {"path": Path("a/b"), "none": None, "yes": True},
            {"path": "a/b", "none": None, "yes": True},
        ),
    ],
)
def test_what_it_says_is_read_back(value, expected):
    def refuse(constant):
        raise ValueError(constant)

    assert json.loads(json_text(value), parse_constant=refuse) == expected
