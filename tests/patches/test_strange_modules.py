"""Whatever lies in ``sys.modules``, a patch is made and undone, and asks none of it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from small_fork import FAMILY, SafeConv, forget, load, write_package

from synet.custom_patches import patch_custom, unpatch
from synet.patches.engine import Patching
from synet.patches.places import file_of
from synet.patches.target import only
from synet.system.process import names_of, unchanged


class Asked(Exception):
    """Code of a stranger's module has run."""


class Angry(types.ModuleType):
    """Neither its dictionary nor anything else can be had of it."""

    @property
    def __dict__(self):
        raise Asked

    def __getattribute__(self, name):
        raise Asked(name)


class Library:
    """As cffi's libraries, which cryptography has: of the class of modules, it says."""

    __slots__ = ()

    @property
    def __class__(self):
        return types.ModuleType


class Proxy:
    """An object in a module that has no class before somebody sets it."""

    @property
    def __class__(self):
        raise Asked


def with_file(file) -> types.ModuleType:
    module = types.ModuleType("filed")
    module.__file__ = file
    return module


def strange(folder: Path) -> dict:
    empty = types.ModuleType.__new__(types.ModuleType)
    angry = Angry("angry")
    types.ModuleType.__dict__["__dict__"].__get__(angry)["__file__"] = str(folder / "angry.py")
    files = [None, b"bytes.py", folder / "path.py", "", "nul\0.py", 5, [], Proxy()]
    objects = [None, "text", 5, Library(), empty, angry, type("Kind", (), {}), Proxy()]
    objects += map(with_file, files)
    return {f"strange_{number}": value for number, value in enumerate(objects)}


@pytest.fixture
def crowd(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in strange(tmp_path).items():
        monkeypatch.setitem(sys.modules, name, value)
    yield tmp_path
    unpatch()
    monkeypatch.undo()
    forget(tmp_path)


def test_a_fork_is_patched_among_them(crowd):
    assert isinstance(sys.modules["strange_3"], types.ModuleType)
    write_package(crowd, "crowded_fork")
    patching = Patching(only("katana"), (FAMILY,), roots=(crowd,))
    try:
        patching.start()
        common, yolo = load("crowded_fork.common", "crowded_fork.yolo")
        yolo.proxy = Proxy()
        assert common.Conv is yolo.Conv is SafeConv
    finally:
        patching.stop()
    assert common.Conv is yolo.Conv is not SafeConv


def test_the_two_lines_are_left_alone_by_them(crowd):
    before = torch.load
    patch_custom("katana", roots=[crowd])
    assert torch.load is not before
    unpatch()
    assert torch.load is before
    with unchanged(lambda module: True):
        pass


def test_names_and_files(tmp_path):
    for value in strange(tmp_path).values():
        assert type(names_of(value)) is dict
    assert file_of(with_file(str(tmp_path / "a.py"))) == tmp_path.resolve() / "a.py"
    assert file_of(with_file(tmp_path / "a.py")) == tmp_path.resolve() / "a.py"
    assert file_of(with_file(bytes(tmp_path / "a.py"))) == tmp_path.resolve() / "a.py"
    for file in (None, "", "nul\0.py", 5, Proxy()):
        assert file_of(with_file(file)) is None
