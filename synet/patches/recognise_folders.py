"""Telling a fork's folder by its source, before any of it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# A builder lies in ``models/yolo.py`` or ``src/package/nn/tasks.py``, and a script may lie in
# somebody's home: neither is looked for everywhere.
DEPTH = 4
FOLDERS = 1000
_OTHERS = {"site-packages", "dist-packages", "node_modules", "__pycache__", "runs", "wandb"}


@cache
def holds_builder(root: Path, builders: frozenset[str]) -> bool:
    """Does a source file below `root` define one of `builders`, functions that make a YOLO?"""
    needles = [f"\ndef {name}(".encode() for name in builders]
    return any(
        needle in source for source in map(_source, _source_files(root)) for needle in needles
    )


def _source(file: Path) -> bytes:
    try:
        return b"\n" + file.read_bytes()
    except OSError:
        return b""


def _source_files(root: Path) -> Iterator[Path]:
    """Python files of a folder, those that lie highest first."""
    level, seen = [root], 0
    for _ in range(DEPTH + 1):
        below = []
        for folder in level:
            seen += 1
            if seen > FOLDERS:
                return
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                if entry.name.endswith(".py") and entry.is_file():
                    yield Path(entry)
                elif entry.is_dir(follow_symlinks=False) and _may_hold_code(entry.name):
                    below.append(Path(entry))
        level = below


def _may_hold_code(folder: str) -> bool:
    return not folder.startswith(".") and folder not in _OTHERS
