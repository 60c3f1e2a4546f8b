"""Imports under the patch are as Python makes them: loaders, archives, lazy modules, errors."""

from __future__ import annotations

import importlib.resources
import importlib.util
import inspect
import subprocess
import sys
import textwrap
import zipfile
from importlib.machinery import SourceFileLoader
from types import ModuleType

import pytest
from small_fork import SafeConv, SafeDetect, load, write_package


def test_loaders_stay_as_python_made_them(packages, patching):
    package = write_package(packages, "plain_fork")
    patching.start()
    (yolo,) = load("plain_fork.yolo")
    for loader in (yolo.__loader__, yolo.__spec__.loader):
        assert type(loader) is SourceFileLoader and "exec_module" not in vars(loader)
    assert inspect.getsource(yolo.Model).startswith("class Model")
    assert importlib.resources.files("plain_fork").joinpath("common.py").is_file()
    assert importlib.util.find_spec("plain_fork.late").origin == str(package / "late.py")
    assert "plain_fork.late" not in sys.modules
    assert importlib.reload(yolo).Detect is SafeDetect


def test_a_zipped_package_imports_as_ever(packages, patching):
    folder = write_package(packages / "unzipped", "zipped_fork")
    archive = packages / "forks.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            file.write(path, f"zipped_fork/{path.name}")
    sys.path.insert(0, str(archive))
    try:
        patching.start()
        (files,) = load("zipped_fork.files")
        assert files.check_file("a") == "a"
    finally:
        sys.path.remove(str(archive))
        sys.modules.pop("zipped_fork", None)
        sys.modules.pop("zipped_fork.files", None)


def test_a_module_that_fails_to_import_is_told_as_ever(packages, patching):
    write_package(packages, "broken_fork", late="1 / 0")
    patching.start()
    with pytest.raises(ZeroDivisionError):
        load("broken_fork.late")
    assert "broken_fork.late" not in sys.modules


def lazily(name: str) -> ModuleType:
    """The recipe for lazy imports in the documentation of importlib."""
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def is_asleep(module: ModuleType) -> bool:
    return object.__getattribute__(module, "__class__").__name__ == "_LazyModule"


def test_lazy_modules_sleep_on_and_are_patched_when_they_wake(packages, patching):
    write_package(packages, "lazy_fork")
    early = lazily("lazy_fork.late")
    patching.start()
    lazy = lazily("lazy_fork.yolo")
    load("lazy_fork.common", "lazy_fork.files")
    assert is_asleep(early) and is_asleep(lazy) and patching.forks == []
    assert lazy.Conv is SafeConv and lazy.Detect is SafeDetect
    assert not is_asleep(lazy) and is_asleep(early)
    assert early.Conv is SafeConv


def test_modules_that_answer_everything_are_not_asked(packages, patching, monkeypatch):
    class Flags(ModuleType):
        def __getattr__(self, name):
            raise AssertionError(f"was asked for {name}")

    flags = Flags("flags")
    vars(flags)["__file__"] = str(packages / "flags.py")
    monkeypatch.setitem(sys.modules, "flags", flags)
    monkeypatch.setitem(sys.modules, "no_module", object())
    write_package(packages, "asking_fork")
    patching.start()
    load("asking_fork.yolo")
    assert len(patching.forks) == 1


def test_what_was_found_under_the_patch_and_runs_after_it_is_not_patched(packages, patching):
    write_package(packages, "slow_fork")
    patching.start()
    spec = importlib.util.find_spec("slow_fork.yolo")
    patching.stop()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Detect is not SafeDetect and patching.forks == [] and not patching.applied


def test_triton_is_imported_ahead_of_tensorflow(tmp_path):
    (tmp_path / "triton.py").write_text("")
    (tmp_path / "tensorflow.py").write_text("import sys\nfirst = 'triton' in sys.modules")
    code = """
        from synet.patches.engine import Patching
        from synet.patches.target import only
        Patching(only("katana"), ()).start()
        import tensorflow
        assert tensorflow.first
    """
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, env=environment, timeout=60
    )
