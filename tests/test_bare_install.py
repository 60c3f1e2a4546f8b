"""What the README calls enough is enough: ``pip install -e '.[export]'`` beside a fork."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import bare_install
import pytest
import tiny_yolo
from bare_install import ROOT

from synet.data.drawn_shapes import draw_dataset
from synet.patches.write_patch import write_patch

LACKING = ("matplotlib", "PIL", "pandas", "scipy", "torchvision", "yolov5", "ultralytics")

# One process, as starting torch and tensorflow takes longer than all that is done with them.
EVERYTHING = f"""
import importlib.util
assert not [name for name in {LACKING} if importlib.util.find_spec(name)]

import synet
from synet.evaluation.evaluate import evaluate
from synet.quantize import quantize_model
from synet.inspection.summary import summarize

print("zoo", sum(p.numel() for p in synet.get_model("katana-kqvga", "fork").parameters()))
print("summary", summarize("tiny.yaml", repo="fork").totals())
quantize_model("tiny.yaml", "my.yaml", repo="fork", number=2, out_path="tiny.tflite", force=True)
found = evaluate("tiny.tflite", "my.yaml", classes=["circle", "square"], progress=False)
print("evaluated", found.images, "images")

import sys
sys.path.insert(0, "fork")
import synet_patch
from odd.net import Net
synet_patch.patch("katana")
print("patched", type(Net("fork/tiny.yaml", 1).model[1]).__module__)
synet.unpatch()
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return bare_install.write(tmp_path_factory.mktemp("bare") / "env", "export")


def test_everything_runs_that_needs_no_other_extra(python, tmp_path):
    write_patch(shutil.copytree(ROOT / "examples" / "odd-yolo", tmp_path / "fork"))
    data = draw_dataset(tmp_path / "data", train=2, val=2, test=1)
    shutil.copytree(data.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / data.name).rename(tmp_path / "my.yaml")
    tiny_yolo.write(tmp_path)
    (tmp_path / "script.py").write_text(EVERYTHING)
    told = bare_install.run(python, "script.py", cwd=tmp_path)
    lines = told.splitlines()
    assert "summary 29 layers, 4,614 parameters, 0.46 MMAC" in lines
    assert "evaluated 2 images" in lines and "patched synet.layers.conv" in lines


def test_the_repairs_are_listed(python, tmp_path):
    told = bare_install.run(python, "-m", "synet", "patches", "--repairs", cwd=tmp_path)
    for name in ("mpl_cycle", "font", "pillow_getsize"):
        assert re.search(rf"\b{name}\b.*\bnot needed\b", told), told
