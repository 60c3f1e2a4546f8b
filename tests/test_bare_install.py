"""What the README calls enough is enough: ``pip install -e '.[export]'`` beside a fork."""

from __future__ import annotations

import shutil
from pathlib import Path

import bare_install
import pytest
import tiny_yolo
import torch_fork

from synet.shapes import draw_dataset

LACKING = ("matplotlib", "PIL", "pandas", "scipy", "torchvision", "yolov5", "ultralytics")

# One process, as starting torch and tensorflow takes longer than all that is done with them.
EVERYTHING = f"""
import importlib.util
assert not [name for name in {LACKING} if importlib.util.find_spec(name)]

import synet
from synet.evaluate import evaluate
from synet.quantize import quantize_model
from synet.summary import summarize

print("zoo", sum(p.numel() for p in synet.get_model("katana-kqvga", "fork").parameters()))
print("summary", summarize("tiny.yaml", repo="fork").totals())
quantize_model("tiny.yaml", "my.yaml", repo="fork", number=2, out_path="tiny.tflite", force=True)
print("evaluated", evaluate("tiny.tflite", "my.yaml"))

synet.patch_custom("katana", roots=["fork"])
import sys
sys.path.insert(0, "fork")
from models.yolo import Model
print("fork", type(Model("fork/small.yaml").model[0][1]))
synet.unpatch()
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return bare_install.write(tmp_path_factory.mktemp("bare") / "env", "export")


def test_everything_runs_that_needs_no_other_extra(python, tmp_path):
    torch_fork.write(tmp_path / "fork")
    data = draw_dataset(tmp_path / "data", train=2, val=2, test=1)
    shutil.copytree(data.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / data.name).rename(tmp_path / "my.yaml")
    tiny_yolo.write(tmp_path)
    (tmp_path / "script.py").write_text(EVERYTHING)
    told = bare_install.run(python, "script.py", cwd=tmp_path)
    assert "Traceback" not in told
    assert [line.split()[0] for line in told.splitlines()].count("zoo") == 1, told


def test_the_repairs_are_listed(python, tmp_path):
    told = bare_install.run(python, "-m", "synet", "patches", "--repairs", cwd=tmp_path)
    lines = {line.split()[0]: line for line in told.splitlines() if "needed" in line}
    assert all("not needed" in lines[name] for name in ("mpl_cycle", "font", "pillow_getsize"))
