"""One test for every family, the template and a user's own patch; and forks that fail it."""

from __future__ import annotations

import shutil
from pathlib import Path

import odd_fork
import pytest
import torch_fork
from bare_install import ROOT
from changed_file import write_changed
from click.testing import CliRunner

from synet.backends.conformance import CHECKS, ORDERS, check_fork
from synet.cli import main
from synet.models.locate import installed
from synet.patches.write_patch import write_patch
from synet.system.errors import PatchError, SynetError

EVERYTHING = [f"ok    {order}: {check}" for order in ORDERS.values() for check in CHECKS.values()]


slow = pytest.mark.slow


def lines(root: Path) -> list[str]:
    return [str(verdict) for verdict in check_fork(root, "katana")]


def everything_below(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("family", ["ultralytics", pytest.param("yolov5", marks=slow)])
def test_a_family(family):
    assert lines(installed(family)) == EVERYTHING


@pytest.mark.parametrize("which", ["v5", "kernel", pytest.param("stride", marks=slow)])
def test_a_fork(tmp_path, which):
    if which == "v5":
        torch_fork.write(tmp_path)
    else:
        odd_fork.write(tmp_path, which)
    before = everything_below(tmp_path)
    assert lines(tmp_path) == EVERYTHING
    assert everything_below(tmp_path) == before


def test_a_users_own_patch_from_the_template(tmp_path):
    fork = shutil.copytree(ROOT / "examples" / "odd-yolo", tmp_path / "fork")
    with pytest.raises(PatchError, match=r"nothing is found that can be patched; see synet patch"):
        check_fork(fork, "katana")
    write_patch(fork)
    told = CliRunner().invoke(main, ["patches", "check", str(fork)])
    assert told.output.splitlines() == EVERYTHING and told.exit_code == 0


# ------------------------------------------------------------------------------------ what fails


def changed(folder: Path, file: str, old: str, new: str) -> Path:
    torch_fork.write(folder)
    write_changed(folder / file, (folder / file).read_text(), (old, new))
    return folder


def test_a_kernel_that_a_signature_does_not_tell_is_named(tmp_path):
    """It is called as YOLO's own, and does something else."""
    fork = changed(
        tmp_path,
        "models/common.py",
        "nn.Conv2d(c1, c2, k, s, k // 2",
        "nn.Conv2d(c1, c2, k + 2, s, k // 2 + 1",
    )
    told = CliRunner().invoke(main, ["patches", "check", str(fork)])
    assert told.exit_code == 1
    failed = [line for line in told.output.splitlines() if line.startswith("FAIL")]
    assert failed == [
        f"FAIL  {order}: {CHECKS['defaults']}: [channels] builds 1x1, stride 1, dilation 1 in "
        "place of 3x3, stride 1, dilation 1"
        for order in ORDERS.values()
    ]


def test_what_a_patch_of_ones_own_leaves_behind_is_named(tmp_path):
    """A wrapper that rebinds a name by itself, which nothing puts back."""
    fork = shutil.copytree(ROOT / "examples" / "odd-yolo", tmp_path / "fork")
    patch = write_patch(fork).path
    text = patch.read_text().replace("    parse_model=wrap_parse_model,", "    parse_model=mine,")
    text = text.replace("FAMILY = Family(", MINE + "\n\nFAMILY = Family(")
    patch.write_text(text)
    failed = [line for line in lines(fork) if line.startswith("FAIL")]
    left = "odd.net.Twin, synet_bystander.load_image, torch.hub.mine"
    assert failed[:2] == [
        f"FAIL  {ORDERS['early']}: {CHECKS['others']}: synet_bystander.load_image",
        f"FAIL  {ORDERS['early']}: {CHECKS['undone']}: {left}",
    ]


MINE = '''
def mine(fork):
    """It reaches for what is not the fork's, and tells nobody."""
    import sys
    import torch

    fork.module.Twin = fork.module.Join
    torch.hub.mine = 1
    sys.modules["synet_bystander"].load_image = print
    return wrap_parse_model(fork)
'''


def test_no_such_folder_and_no_such_chip(tmp_path):
    with pytest.raises(SynetError, match=r"nowhere: no such folder$"):
        check_fork(tmp_path / "nowhere", "katana")
    torch_fork.write(tmp_path)
    told = CliRunner().invoke(main, ["patches", "check", str(tmp_path), "--chip", "katanna"])
    assert told.exit_code == 2 and "did you mean katana" in told.output + told.stderr
    assert "Traceback" not in told.output + told.stderr


def test_a_fork_that_cannot_be_imported_at_all(tmp_path):
    fork = changed(tmp_path, "models/yolo.py", "import yaml", "import yaml\n1 / 0")
    with pytest.raises(PatchError, match=r": ZeroDivisionError: division by zero$"):
        check_fork(fork, "katana")
