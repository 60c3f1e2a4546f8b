"""What the source of a fork tells, and the patch that is written from it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from synet import layers
from synet.models.locate import families_of
from synet.patches.declaration import resolve
from synet.patches.recognise_classes import is_concat
from synet.patches.survey import survey
from synet.patches.write_patch import PATCH_FILE, write_patch
from synet.system.errors import SynetError

ODD = Path(__file__).resolve().parents[2] / "examples" / "odd-yolo"


def names(found) -> list[tuple[str, str]]:
    return [(each.name, str(each.file)) for each in found]


def test_what_the_odd_fork_has():
    found = survey(ODD)
    assert names(found.builders) == [("make_layers", "odd/net.py")]
    assert found.builders[0].parameters == ("definition", "channels", "log")
    assert names(found.convolutions) == [("CBA", "odd/blocks.py")]
    assert names(found.joins) == [("Join", "odd/blocks.py")]
    assert names(found.heads) == [("BoxHead", "odd/heads.py")]
    assert names(found.models) == [("Net", "odd/net.py")]
    assert names(found.scripts) == [("train.py", "train.py")]


@pytest.mark.parametrize(
    ("package", "file", "head"),
    [
        ("yolov5", "models/yolo.py", "models/yolo.py"),
        ("ultralytics", "nn/tasks.py", "nn/modules/head.py"),
    ],
)
def test_what_a_stock_yolo_has(package, file, head):
    root = Path(find_spec(package).submodule_search_locations[0])
    found = survey(root)
    assert names(found.builders) == [("parse_model", file)]
    assert "Conv" in {each.name for each in found.convolutions}
    assert "Concat" in {each.name for each in found.joins}
    assert ("Detect", head) in names(found.heads)
    assert "DetectionModel" in {each.name for each in found.models}


@pytest.fixture
def fork(tmp_path) -> Path:
    return Path(shutil.copytree(ODD, tmp_path / "fork"))


def test_a_gap_is_marked_in_the_file_and_told(fork):
    blocks = fork / "odd" / "blocks.py"
    blocks.write_text(blocks.read_text().replace("BatchNorm2d", "GroupNorm"))
    draft = write_patch(fork)
    assert draft.gaps == ("CONV: no class of a convolution and batch norm found",)
    assert "# GAP: no class of a convolution" in draft.path.read_text()


def test_a_file_that_is_no_python_is_passed_over(fork):
    (fork / "broken.py").write_text("def f(:\n")
    assert write_patch(fork).gaps == ()


def test_nothing_to_swap(tmp_path):
    (tmp_path / "net.py").write_text("def build_model(cfg):\n    return Net(cfg)\n")
    with pytest.raises(SynetError, match=r"make_safe\(model, chip\) \(see build_model in "):
        write_patch(tmp_path)
    assert not list(tmp_path.glob("synet*"))


def test_no_such_folder(tmp_path):
    with pytest.raises(SynetError, match=r"nowhere: no such folder$"):
        write_patch(tmp_path / "nowhere")


BEFORE = """
from synet.custom_patches import patch_custom
from synet.patches.engine import Family, Patching, Swap
from synet.patches.parse_model import wrap_model_init, wrap_parse_model
from synet.patches.yolov5 import ADDITIONS

FAMILY = Family(
    name="custom",
    builder="parse_model",
    parameters=("d", "ch"),
    head="Detect",
    swaps=(
        Swap("Conv", "synet.layers.conv:Conv", called="Conv"),
        Swap(
            "Concat",
            "synet.layers.basic:Cat",
            required=False,
            when="synet.patches.likeness:is_concat",
            called="Concat",
        ),
    ),
    additions=ADDITIONS,
    parse_model=wrap_parse_model,
    model_init=wrap_model_init,
)

def patch(chip: str) -> Patching:
    return patch_custom(chip, families=[FAMILY])
"""


def test_a_patch_that_was_written_before_modules_moved(tmp_path):
    (tmp_path / PATCH_FILE).write_text(BEFORE)
    (family,) = families_of(tmp_path)
    assert [resolve(swap.new) for swap in family.swaps] == [layers.conv.Conv, layers.Cat]
    assert resolve(family.swaps[1].when) is is_concat
