"""The engine on forks of a few lines: what is displaced, what is not, and the way back."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

import pytest
import small_fork
from small_fork import FAMILY, FILES, SafeConv, SafeDetect, forget, load, write_package

from synet.patches.declaration import Wrap
from synet.patches.engine import Patching
from synet.patches.target import only
from synet.system.errors import PatchError

WRONG_YOLO = """
from PACKAGE.common import Conv

def build_rows(rows, channels):
    return []
"""


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
    patching = Patching(only("katana"), (FAMILY,), roots=(packages / "work",))
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
    patching = Patching(only("katana"), (FAMILY,), roots=(package,), functions=wraps)
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
    assert [fork.module.__name__ for fork in patching.forks] == ["right_fork.yolo"]


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
    assert [fork.module for fork in patching.forks] == [one, two]
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
