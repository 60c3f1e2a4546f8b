"""Figures as JSON that every reader takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def json_text(value: object) -> str:
    """A value as JSON, records by the names of their fields.

    What is no number, or without an end, is null: JSON knows neither.

    >>> json_text({"map50": float("nan"), "shape": (1, 2)})
    '{\\n "map50": null,\\n "shape": [\\n  1,\\n  2\\n ]\\n}'
    """
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):  # an array or a number of numpy's
        return _plain(value.tolist())
    return str(value)
