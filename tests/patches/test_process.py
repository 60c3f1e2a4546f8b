"""The two lines: in this process on the installed yolov5, and at the top of real train.py files."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import real_forks
import torch
from patched import patched_fork
from real_forks import LOOK, MIXED, run, training
from small_fork import FILES, forget, load, write_package

from synet import layers
from synet.custom_patches import patch_custom, unpatch
from synet.models.locate import installed
from synet.patches import process as custom_patches
from synet.patches.target import only
from synet.system.errors import ChipError, PatchError

# ------------------------------------------------------------------------------ in one process


@pytest.fixture
def unpatched():
    unpatch()
    yield
    unpatch()


def surroundings() -> list:
    """What a patch displaces outside of forks."""
    return [torch.load, torch.Tensor.clamp_, sys.argv, sys.excepthook, list(sys.meta_path)] + [
        "trapz" in vars(np),
        "pkg_resources" in sys.modules,
        dict(os.environ),
    ]


def forks_objects() -> dict:
    """Every object in the modules of yolov5, and in their classes."""
    seen = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "yolov5":
            for key, value in list(vars(module).items()):
                seen[name, key] = value
                if isinstance(value, type) and value.__module__ == name:
                    seen[name, key, "bases"] = value.__bases__
                    seen |= {(name, key, n): v for n, v in vars(value).items()}
    return seen


def test_undone_to_the_very_same_objects_and_applied_again(unpatched):
    patched_fork(installed("yolov5"), "katana")
    unpatch()
    outside, before = surroundings(), forks_objects()
    yolo = importlib.import_module("yolov5.models.yolo")
    assert yolo.Conv.__module__ == "yolov5.models.common"

    patch_custom("katana")  # its modules have been imported
    assert yolo.Conv is layers.Conv and torch.load is not outside[0]
    model = yolo.Model("katana-kqvga")
    assert type(model.model[1]) is layers.Conv
    unpatch()

    after = forks_objects()
    assert before.keys() == after.keys()
    assert [key for key in before if before[key] is not after[key]] == []
    assert surroundings() == outside


def test_twice_is_once(unpatched):
    first = patch_custom("katana")
    seen = surroundings()
    assert patch_custom("katana") is first and surroundings() == seen
    unpatch()
    unpatch()
    assert custom_patches._active is None


def test_from_many_threads_is_once(unpatched):
    found, start = [], threading.Barrier(4)

    def patch():
        start.wait()
        found.append(patch_custom("katana"))

    threads = [threading.Thread(target=patch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(map(id, found))) == 1


def test_an_unknown_chip_changes_nothing(unpatched):
    before = surroundings()
    with pytest.raises(ChipError, match="did you mean katana"):
        patch_custom("katanna")
    assert surroundings() == before


def test_two_chips_at_once_are_refused(unpatched):
    patch_custom("sabre")
    with pytest.raises(PatchError, match=r"already patched for sabre; call unpatch\(\)"):
        patch_custom("katana")


def test_a_script_decides_over_what_synet_patched_by_itself(unpatched):
    ours = patch_custom("katana", fixed=False)
    assert patch_custom("sabre", fixed=False) is ours and ours.chip == "katana"
    assert patch_custom("sabre") is ours and ours.target == only("sabre")
    assert json.loads(os.environ["SYNET_RUN"])["chip"] == "sabre"
    assert patch_custom("katana", fixed=False) is ours and ours.chip == "sabre"
    with pytest.raises(PatchError, match="already patched for sabre"):
        patch_custom("katana")
    with pytest.raises(PatchError, match="already patched for sabre"):
        patch_custom(None, fixed=False)


def test_a_fork_that_cannot_be_patched_leaves_nothing_behind(unpatched, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    as_yolov5 = FILES["yolo.py"].replace("build_rows", "parse_model")
    as_yolov5 = as_yolov5.replace("import *", "import C3")
    write_package(tmp_path, "no_conv_fork", yolo=as_yolov5)
    load("no_conv_fork.yolo")
    before = surroundings()
    try:
        with pytest.raises(PatchError, match=r"no_conv_fork/yolo\.py: looks .* lacks Conv"):
            patch_custom("katana", roots=[tmp_path])
        assert surroundings() == before and custom_patches._active is None
    finally:
        forget(tmp_path)


def test_without_repairs_libraries_stay_as_they_are(unpatched):
    before = surroundings()
    patch_custom("katana", repairs=False)
    after = surroundings()
    for variable in ("PYTHONPATH", "SYNET_RUN"):  # that children patch themselves is no repair
        after[-1][variable] = before[-1].get(variable)
        before[-1][variable] = before[-1].get(variable)
    assert after[1] is before[1] and after[5:] == before[5:]


# --------------------------------------------------------------------------- in a user's script


@pytest.mark.parametrize(
    ("last_line", "status", "told"),
    [
        ("raise SynetError('no such thing')", 2, "synet: no such thing\n"),
        ("raise VerificationError('ours')", 1, "synet: ours\n"),
    ],
)
def test_a_script_ends_as_the_command_line_does(tmp_path, last_line, status, told):
    lines = real_forks.TWO_LINES + "from synet.system.errors import *\n" + last_line
    (tmp_path / "script.py").write_text(lines)
    assert run("script.py", cwd=tmp_path, status=status) == told


def test_other_errors_keep_their_traceback(tmp_path):
    (tmp_path / "script.py").write_text(real_forks.TWO_LINES + "1 / 0\n")
    told = run("script.py", cwd=tmp_path, status=1)
    assert told.startswith("Traceback") and told.endswith("ZeroDivisionError: division by zero\n")


# ---------------------------------------------------------------------- real training, real forks


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    return real_forks.write_clone(tmp_path_factory.mktemp("forks"))


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    return real_forks.write_package(tmp_path_factory.mktemp("forks"))


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return real_forks.draw_images(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def cfgs(tmp_path) -> dict[str, str | Path]:
    (tmp_path / "mixed.yaml").write_text(MIXED)
    return {
        "zoo": "katana-kqvga.yaml",
        "stock": "yolov5n.yaml",
        "mixed": tmp_path / "mixed.yaml",
    }


def look(weights: Path, repo: Path, cwd: Path) -> None:
    """Load a checkpoint in a fresh process: nothing of the fork's own may be left in it."""
    kinds, plain, names, shape, rows = json.loads(
        run("-c", LOOK, weights, repo, cwd=cwd).splitlines()[-1]
    )
    assert plain == [] and names == {"0": "square", "1": "disc"}
    assert shape in ([240, 320], [96, 96], [64, 96]) and rows > 0
    for name in ("Conv", "Detect", "Concat"):
        assert {kind for kind in kinds if kind.rpartition(".")[2] == name} <= {
            f"synet.layers.{home}.{name}" for home in ("conv", "yolov5")
        }
    assert "synet.layers.conv.Conv" in kinds and "synet.layers.yolov5.Detect" in kinds


REST = (pytest.mark.slow, pytest.mark.exhaustive)  # each network by one of the two layouts else


@pytest.mark.parametrize(
    "cfg",
    [pytest.param("zoo", marks=pytest.mark.slow), "stock", pytest.param("mixed", marks=REST)],
)
def test_a_clone_trains_validates_and_saves(clone, data, cfgs, tmp_path, cfg):
    out = tmp_path / "runs" / "clone"
    weights = ["--weights", ""] if cfg == "stock" else []
    told = run("train.py", "--cfg", cfgs[cfg], *training(data, out, *weights), cwd=clone)
    assert "mAP50" in told and "Results saved to" in told
    look(out / "weights" / "best.pt", clone, tmp_path)


@pytest.mark.parametrize(
    "cfg", [pytest.param("zoo", marks=REST), pytest.param("stock", marks=REST), "mixed"]
)
def test_a_package_of_another_name_trains_resumes_and_saves(package, data, cfgs, tmp_path, cfg):
    out = tmp_path / "runs" / "package"
    weights = ["--weights", ""] if cfg == "stock" else []
    arguments = training(data, out, "--epochs", "2", "--save-period", "1", *weights)
    script, importable = package / "train.py", {"PYTHONPATH": str(package.parent)}
    run(script, "--cfg", cfgs[cfg], *arguments, cwd=tmp_path, **importable)
    (out / "weights" / "last.pt").unlink()

    first = out / "weights" / "epoch0.pt"  # as an interruption after the first epoch leaves it
    told = run(script, "--resume", first, cwd=tmp_path, **importable)
    assert "Resuming training from" in told and "1 epochs completed" in told
    look(out / "weights" / "last.pt", package, tmp_path)


def test_a_mistake_in_a_yaml_is_one_line_before_any_training(clone, data, tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED.replace("[-1, 1, Stem, [32]]", "[-1, 1, Stemm, [32]]"))
    out = tmp_path / "runs" / "wrong"
    told = run("train.py", "--cfg", path, *training(data, out), cwd=clone, status=2)
    assert f"synet: {path}:11: no layer 'Stemm'" in told.splitlines()[-1]
    assert "Traceback" not in told


def test_the_data_of_a_command_of_ours_is_not_handed_to_a_fork(unpatched, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    data = tmp_path / "my.yaml"
    data.write_text("path: .\ntrain: images\nval: images\nnames: [a]\n")
    monkeypatch.setattr(sys, "argv", ["/bin/synet", "quantize", "--data", str(data)])
    patch_custom("katana", roots=[tmp_path])
    assert sys.argv[-1] == str(data)
    unpatch()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py"), "--data", str(data)])
    patch_custom("katana", roots=[tmp_path])
    assert sys.argv[-1].startswith(str(tmp_path / "cache"))
