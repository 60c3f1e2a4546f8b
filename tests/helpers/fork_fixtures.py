"""Forks whose scripts hold no line of ours, and a process that is unpatched after each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import real_forks
from small_fork import forget

from synet.custom_patches import unpatch


@pytest.fixture(autouse=True)
def unpatched(monkeypatch, tmp_path_factory):
    """Forks that a test imports are gone after it, and so is the patch."""
    unpatch()
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    unpatch()
    forget(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> dict[str, Path]:
    return real_forks.write_untouched(tmp_path_factory.mktemp("untouched"))
