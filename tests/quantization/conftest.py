"""What the tests of quantizing share: images, and a folder to work in."""

from __future__ import annotations

import pytest
from noise_images import dataset

from synet.custom_patches import unpatch


@pytest.fixture
def data(tmp_path):
    """Six images in val and four in test, in colours that say which they are."""
    return dataset(tmp_path / "data", val=6, test=4)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    unpatch()
