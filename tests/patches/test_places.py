"""Where modules lie, and which folder is a fork's."""

from __future__ import annotations

import site
import sys
from pathlib import Path
from types import ModuleType

import pytest

from synet.patches import places
from synet.patches.places import fork_root


@pytest.mark.parametrize(
    ("name", "file", "root"),
    [
        ("models.yolo", "clone/models/yolo.py", "clone"),
        ("yolo", "clone/src/yolo.py", "clone/src"),
        ("ours.models.yolo", "work/ours/models/yolo.py", "work"),
        ("ours.nn.heads.yolo", "work/ours/nn/heads/yolo.py", "work"),
    ],
)
def test_root_of_a_clone_and_of_a_package(tmp_path, name, file, root):
    assert fork_root(name, tmp_path / file) == tmp_path / root


def test_root_of_an_installed_package_is_the_package():
    packages = Path(site.getsitepackages()[0]).resolve()
    file = packages / "yolov5" / "models" / "yolo.py"
    assert fork_root("yolov5.models.yolo", file) == packages / "yolov5"


def test_a_script_of_the_environment_is_no_root(monkeypatch, tmp_path):
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert places.script_root() is None
    main.__file__ = str(tmp_path / "train.py")
    assert places.script_root() == tmp_path.resolve()
    main.__file__ = str(Path(sys.executable).parent / "synet")
    assert places.script_root() is None
