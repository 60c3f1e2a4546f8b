"""The stand-in for ``pkg_resources`` answers as that did."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from synet.patches.repairs.stand_in_modules import pkg_resources


@pytest.fixture
def pkg():
    return pkg_resources()


def test_parse_requirements(pkg, tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "# base\nnumpy>=1.18.5\n-r other.txt\n\nPillow>=7.1.2  # CVE\n"
    )
    with (tmp_path / "requirements.txt").open() as file:  # as YOLOv5 hands it over
        found = [f"{x.name}{x.specifier}" for x in pkg.parse_requirements(file)]
    assert found == ["numpy>=1.18.5", "Pillow>=7.1.2"]
    assert next(pkg.parse_requirements("Torch_Vision>=1")).key == "torch-vision"


def test_require(pkg):
    assert pkg.require("numpy>=1.0")[0].version == np.__version__
    assert pkg.get_distribution("numpy").version == np.__version__
    with pytest.raises(pkg.DistributionNotFound, match="no-such-package"):
        pkg.require("no-such-package>=1")
    with pytest.raises(pkg.VersionConflict, match="numpy<1") as caught:
        pkg.require("numpy<1")
    assert caught.value.req.name == "numpy"
    assert caught.value.dist.version == np.__version__


def test_pytest_gets_along_with_it(pkg, monkeypatch, tmp_path):
    """As in a process that is patched: it asks whatever is called pkg_resources."""
    monkeypatch.setitem(sys.modules, "pkg_resources", pkg)
    monkeypatch.syspath_prepend(tmp_path)
    assert sys.path[0] == str(tmp_path)
