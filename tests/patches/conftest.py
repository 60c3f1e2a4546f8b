"""Forks of a few lines in folders of their own, and a patch for them that is taken back."""

from __future__ import annotations

import pytest
from small_fork import FAMILY, forget

from synet.patches.engine import Patching
from synet.patches.target import only


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder on ``sys.path`` for the packages of one test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def patching():
    patching = Patching(only("katana"), (FAMILY,))
    yield patching
    patching.stop()
