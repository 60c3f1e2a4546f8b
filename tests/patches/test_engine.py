"""The engine on forks of a few lines: what is displaced, what is not, and the way back."""

from __future__ import annotations

import importlib.resources
import importlib.util
import inspect
import site
import subprocess
import sys
import textwrap
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
import small_fork
from small_fork import FAMILY, FILES, SafeConv, SafeDetect, forget, load, write_package

from synet.patches import engine
from synet.patches.engine import Applied, Patching, Wrap, fork_root
from synet.system.errors import PatchError

WRONG_YOLO = """
from PACKAGE.common import Conv

def build_rows(rows, channels):
    return []
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder on ``sys.path`` for the packages of one test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def patching():
    patching = Patching("katana", (FAMILY,))
    yield patching
    patching.stop()


def contents(*modules: ModuleType) -> dict:
    """Every object that a module holds, and the bases and members of its classes."""
    seen = {}
    for module in modules:
        for name, value in vars(module).items():
            seen[module.__name__, name] = value
            if isinstance(value, type):
                seen[module.__name__, name, "bases"] = value.__bases__
                seen |= {(module.__name__, name, n): v for n, v in vars(value).items()}
    return seen


def assert_same_objects(before: dict, after: dict) -> None:
    assert before.keys() == after.keys()
    assert [key for key in before if before[key] is not after[key]] == []


# ------------------------------------------------------------------------ what was written down


def test_what_is_bound_comes_back_newest_first():
    class Owner:
        here = first = object()

    applied, order = Applied(), []
    applied.on_undo(lambda: order.append(hasattr(Owner, "new")))
    applied.bind(Owner, "here", 1)
    applied.bind(Owner, "here", 2)
    applied.bind(Owner, "new", 3)
    assert (Owner.here, Owner.new) == (2, 3) and applied
    applied.undo()
    assert Owner.here is Owner.first
    assert order == [False] and not applied and applied.changes == []
    applied.undo()
    assert order == [False]


def test_an_inherited_method_is_not_copied_down():
    class Base:
        def method(self):
            return "base"

    class Child(Base):
        pass

    applied = Applied()
    applied.bind(Child, "method", lambda self: "patched")
    assert Child().method() == "patched"
    applied.undo()
    assert "method" not in vars(Child) and Child().method() == "base"


def test_items_of_a_mapping_come_back_even_if_they_are_gone():
    applied, mapping = Applied(), {"old": "value"}
    applied.bind_item(mapping, "old", 1)
    applied.bind_item(mapping, "new", 2)
    del mapping["new"]
    applied.undo()
    assert mapping == {"old": "value"}


# ------------------------------------------------------------------------------- apply and undo


def assert_patched(name: str, common: ModuleType, yolo: ModuleType) -> None:
    assert common.Conv is common.Alias is yolo.Conv is SafeConv
    assert yolo.Detect is SafeDetect
    assert issubclass(common.DWConv, SafeConv) and issubclass(yolo.Segment, SafeDetect)
    assert common.Mixed.__bases__ == (dict, SafeConv)
    where, *built = yolo.Model(["Conv", "C3", "Segment"]).model
    assert where == yolo.__name__
    assert type(built[0]) is type(built[1].cv1) is SafeConv
    assert yolo.Model([]).chip == "katana"
    assert yolo.check_file("a") == load(f"{name}.files")[0].check_file("a") == "found a"


def test_a_fork_imported_earlier_is_patched_and_put_back(packages, patching):
    write_package(packages, "early_fork")
    modules = load(*(f"early_fork.{name}" for name in ("common", "yolo", "files", "late")))
    before = contents(*modules)
    patching.start()
    assert_patched("early_fork", *modules[:2])
    assert modules[3].Later.__bases__ == (SafeConv,)
    assert modules[3].build_rows is modules[1].build_rows
    patching.stop()
    assert_same_objects(before, contents(*modules))


def test_a_fork_imported_later_is_patched_and_put_back(packages, patching):
    write_package(packages, "later_fork")
    patching.start()
    common, yolo, late = load("later_fork.common", "later_fork.yolo", "later_fork.late")
    assert_patched("later_fork", common, yolo)
    assert late.Later.__bases__ == (SafeConv,) and late.check_file("a") == "found a"
    patching.stop()
    original = common.Conv
    assert original.__module__ == "later_fork.common" and yolo.Detect.__module__ == yolo.__name__
    assert common.Alias is yolo.Conv is original and type(common.C3().cv1) is original
    assert common.DWConv.__bases__ == (original,) and common.Mixed.__bases__ == (dict, original)
    assert yolo.Segment.__bases__ == (yolo.Detect,)
    functions = yolo.build_rows, vars(yolo.Model)["__init__"], yolo.check_file
    assert [type(function) for function in functions] == [FunctionType] * 3


def test_a_module_that_was_being_imported_when_the_builder_was_found(packages, patching):
    write_package(
        packages, "half_fork", late="from PACKAGE.common import Conv\nimport PACKAGE.yolo"
    )
    patching.start()
    (late,) = load("half_fork.late")
    assert late.Conv is SafeConv


def test_the_users_script_beside_an_installed_fork_is_patched_too(packages):
    write_package(packages / "site-packages", "far_fork")
    write_package(packages / "work", "my_script", late="from far_fork.common import Conv")
    sys.path[:0] = [str(packages / "site-packages"), str(packages / "work")]
    patching = Patching("katana", (FAMILY,), roots=(packages / "work",))
    try:
        (script,) = load("my_script.late")
        old = script.Conv
        load("far_fork.yolo")
        patching.start()
        assert script.Conv is SafeConv
        patching.stop()
        assert script.Conv is old
    finally:
        patching.stop()
        del sys.path[:2]


@pytest.mark.parametrize("builder", [True, False])
def test_functions_are_wrapped_where_a_source_file_defines_a_builder(packages, builder):
    package = write_package(packages, "early", **({} if builder else {"yolo": ""}))
    wraps = (Wrap("check_file", lambda fork: lambda *_: fork),)
    patching = Patching("katana", (FAMILY,), roots=(package,), functions=wraps)
    try:
        patching.start()
        (files,) = load("early.files")
        assert files.check_file("a") == (None if builder else "a")  # nothing of it is imported
    finally:
        patching.stop()
    assert files.check_file("a") == "a"


def test_changes_are_told(packages, patching):
    write_package(packages, "told_fork")
    patching.start()
    load("told_fork.yolo")
    told = {(c.where, c.kind, c.old, c.new) for c in patching.applied.changes}
    assert (
        "told_fork.common.Conv",
        "swap",
        "told_fork.common.Conv",
        "small_fork.SafeConv",
    ) in told
    assert ("told_fork.common.DWConv", "rebase") in {line[:2] for line in told}
    assert ("told_fork.yolo.build_rows", "wrap") in {line[:2] for line in told}


# ------------------------------------------------------------------------------- what goes wrong


def test_failing_half_way_leaves_nothing_behind(packages, patching):
    write_package(packages, "a_good_fork")
    write_package(packages, "b_wrong_fork", yolo=WRONG_YOLO)
    modules = load("a_good_fork.common", "a_good_fork.yolo", "b_wrong_fork.yolo")
    before, finders = contents(*modules), list(sys.meta_path)
    patching.roots.append(packages)
    with pytest.raises(PatchError, match="b_wrong_fork"):
        patching.start()
    assert_same_objects(before, contents(*modules))
    assert sys.meta_path == finders and not patching.applied and not patching.forks


def test_a_builder_of_the_wrong_shape_says_what_is_missing_and_where(packages, patching):
    package = write_package(packages, "wrong_fork", yolo=WRONG_YOLO)
    write_package(packages, "right_fork")
    patching.roots.append(packages)
    patching.start()
    with pytest.raises(PatchError) as caught:
        load("wrong_fork.yolo")
    message = str(caught.value)
    assert message.startswith(f"{package / 'yolo.py'}: ")
    assert "lacks Detect, a Model class that calls build_rows; " in message
    assert "katana" in message and "\n" not in message
    load("right_fork.yolo")
    assert [fork.builder.__name__ for fork in patching.forks] == ["right_fork.yolo"]


def test_a_builder_of_another_family_is_left_alone_and_remembered(packages, patching):
    other = "def build_rows(cfg):\n    return cfg\n"
    write_package(packages, "other_line", yolo=other)
    patching.start()
    (yolo,) = load("other_line.yolo")
    assert yolo.build_rows("x") == "x" and patching.forks == []
    assert ("other_line.yolo", "build_rows(cfg)") in patching.unrecognised


def test_a_builder_imported_from_elsewhere_is_no_builder(packages, patching):
    write_package(packages, "one_fork")
    patching.start()
    load("one_fork.late")
    assert len(patching.forks) == 1


# ------------------------------------------------------------------------------------ neighbours


def test_two_forks_keep_to_themselves(packages, patching):
    write_package(packages, "fork_one")
    text = small_fork.FILES["yolo.py"].replace("from PACKAGE.common", "from fork_one.common")
    write_package(packages, "fork_two", yolo=text)
    one, two, common = load("fork_one.yolo", "fork_two.yolo", "fork_two.common")
    before = contents(one, two, common)
    patching.start()
    assert [fork.builder for fork in patching.forks] == [one, two]
    assert one.Model(["Conv"]).model[0] == "fork_one.yolo"
    assert two.Model(["Conv"]).model[0] == "fork_two.yolo"
    assert one.Conv is two.Conv is SafeConv
    assert common.Conv is not SafeConv  # of the same name, but no builder uses it
    patching.stop()
    assert_same_objects(before, contents(one, two, common))


def test_modules_outside_the_fork_are_not_touched(packages, patching, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_package(packages, "their_fork")
    write_package(elsewhere, "stranger", yolo="")
    sys.path.insert(0, str(elsewhere))
    try:
        modules = load("stranger.common", "stranger.files", "stranger.yolo")
        before = contents(*modules)
        patching.start()
        load("their_fork.yolo")
        assert_same_objects(before, contents(*modules))
    finally:
        sys.path.remove(str(elsewhere))
        forget(elsewhere)


def test_an_environment_inside_the_fork_is_not_the_fork(packages, patching):
    write_package(packages, "env_fork")
    write_package(packages / "venv" / "lib" / "site-packages", "installed", yolo="")
    sys.path.insert(0, str(packages / "venv" / "lib" / "site-packages"))
    try:
        patching.start()
        _, files = load("env_fork.yolo", "installed.files")
        assert files.check_file("a") == "a"
    finally:
        del sys.path[0]


# ----------------------------------------------------------------------------- the import system


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
        Patching("katana", ()).start()
        import tensorflow
        assert tensorflow.first
    """
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, env=environment, timeout=60
    )


# ------------------------------------------------------------------------------------------ roots


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
    assert engine.script_root() is None
    main.__file__ = str(tmp_path / "train.py")
    assert engine.script_root() == tmp_path.resolve()
    main.__file__ = str(Path(sys.executable).parent / "synet")
    assert engine.script_root() is None


def test_a_builder_of_the_wrong_shape_outside_of_the_fork_is_remembered(packages, patching):
    write_package(packages, "others_fork", yolo=WRONG_YOLO)
    patching.start()
    load("others_fork.yolo")
    assert patching.forks == []
    assert ("others_fork.yolo", "build_rows(rows, channels)") in patching.unrecognised


def test_a_class_that_no_name_holds_is_named(packages, patching, caplog):
    kept = "\nTABLE = {'Conv': Conv}\nALL = (Conv,)\ndef make(kind=Conv):\n    return kind()\n"
    text = FILES["common.py"] + kept + "\nclass Holder:\n    kind = Conv\n"
    write_package(packages, "keeping_fork", common=text)
    patching.start()
    load("keeping_fork.yolo")
    places = ["TABLE", "ALL", "make(), a default", "Holder.kind"]
    assert patching.unreached == [f"keeping_fork.common.{place}" for place in places]
    assert "keeping_fork.common.TABLE keeps the fork's own Conv" in caplog.text
