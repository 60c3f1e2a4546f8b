"""A fork that checkpoints of strangers name."""

from __future__ import annotations

import pytest
from hostile import HostedFork


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """Importable, as that of a user is, and forgotten afterwards."""
    fork = HostedFork(tmp_path, f"t{abs(hash(tmp_path)) % 10**10}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(fork.root)
    yield fork
    fork.forget()
