"""Files of the chip's vendor, which are not everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest


def vendors_file(shared: Path, name: str) -> Path:
    """A model of the vendor; a test that wants one that is not there is skipped."""
    path = shared / "models" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path
