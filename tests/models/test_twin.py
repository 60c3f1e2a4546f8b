"""The float model of an int8 file, which has to do where it is asked for, and is forgiven else."""

from __future__ import annotations

import pytest

from synet.models.twin import find_twin
from synet.system.errors import SynetError


def fails():
    raise SynetError("broken")


def test_the_one_beside_a_file_is_forgiven(tmp_path):
    file = tmp_path / "best.tflite"
    assert find_twin(file) is None
    file.with_suffix(".pt").touch()
    twin = find_twin(file)
    assert (twin.path, twin.is_asked_for) == (tmp_path / "best.pt", False)
    assert twin.tried(lambda: "used", str) == "used"
    assert twin.tried(fails, str) == "broken"


def test_the_one_that_is_asked_for_is_not(tmp_path):
    (tmp_path / "best.pt").touch()
    twin = find_twin(tmp_path / "best.tflite", "other.pt")
    assert (twin.path, twin.is_asked_for) == ("other.pt", True)
    with pytest.raises(SynetError, match="^broken$"):
        twin.tried(fails, str)
