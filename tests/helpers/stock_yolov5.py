"""The installed yolov5 package, unpatched: what ours is compared with."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from synet.custom_patches import unpatch
from synet.patches.repairs.libraries import apply_library_repairs
from synet.patches.undo import Applied


@cache
def _imported() -> ModuleType:
    applied, path = Applied(), list(sys.path)
    apply_library_repairs(applied)  # it was written for other libraries, and could not be imported
    try:
        import yolov5.models.yolo

        return yolov5.models.yolo
    finally:
        applied.undo()
        sys.path[:] = path


def yolo() -> ModuleType:
    """Its ``models.yolo``, with its own classes in it."""
    if importlib.util.find_spec("yolov5") is None:  # importing it takes repairs
        pytest.skip("the yolov5 package is not installed")
    unpatch()
    module = _imported()
    assert module.Conv.__module__ == "yolov5.models.common"
    return module


def config(name: str) -> str:
    """A model yaml of its own."""
    return str(Path(yolo().__file__).with_name(name))
