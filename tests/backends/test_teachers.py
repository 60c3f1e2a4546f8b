"""A teacher of one line of YOLOs, for students that the other one and its own train."""

from __future__ import annotations

import re
from pathlib import Path

import marks
import pytest
import torch
from patched import patched_fork
from real_forks import run

import synet
from synet.custom_patches import unpatch
from synet.models.locate import installed

YAML = """\
synet: {{chip: katana, image_shape: [64, 160]}}
nc: 1
ch: 1
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30], [30, 61, 62, 45]]
backbone:
  - [-1, 1, Conv, [{0}, 3, 2]]
  - [-1, 1, Conv, [{0}, 3, 2]]
  - [-1, 1, Conv, [{0}, 3, 2]]
  - [-1, 1, Conv, [{0}, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc, anchors]]
"""
TOLD = re.compile(r"apart from the teacher: scores \S+, boxes \S+, features \S+; weight (\S+)")


@pytest.fixture(scope="module")
def school(tmp_path_factory) -> Path:
    """Data, a student's yaml, and a wider network of today's ultralytics to teach it."""
    folder = tmp_path_factory.mktemp("school")
    marks.draw(folder / "marks", "detect")
    (folder / "student.yaml").write_text(YAML.format(8))
    (folder / "teacher.yaml").write_text(YAML.format(16))
    try:
        fork = patched_fork(installed("ultralytics"), "katana")
        teacher = fork.names["DetectionModel"](str(folder / "teacher.yaml"), nc=1, verbose=False)
        teacher.names = {0: "mark"}
        torch.save({"model": teacher.eval(), "epoch": -1}, folder / "teacher.pt")
    finally:
        unpatch()
    return folder


def test_ultralytics_trains_and_goes_on_with_a_teacher(school):
    words = ["model=student.yaml", "data=marks/data.yaml", "epochs=2", "batch=3", "device=cpu"]
    words += [
        "plots=False",
        "workers=0",
        "amp=False",
        f"project={school}",
        "name=one",
        "save_period=1",
    ]
    taught = ("-m", "synet", "ultralytics", "--teacher", "teacher.pt", "train")
    told = run(*taught, *words, cwd=school, SYNET_CACHE=str(school / "cache"))
    assert TOLD.findall(told)[0] == "1.00" and len(TOLD.findall(told)) == 2
    weights = school / "one" / "weights"
    assert synet.get_model(weights / "best.pt").synet["chip"] == "katana"
    words = ["resume=True", "model=one/weights/epoch0.pt"]
    told = run(*taught, *words, cwd=school, SYNET_CACHE=str(school / "cache"))
    assert "Resuming training" in told and [float(w) < 1 for w in TOLD.findall(told)] == [True]


def test_yolov5_trains_with_a_teacher_of_another_head(school):
    words = [
        "--cfg",
        "student.yaml",
        "--data",
        "marks/data.yaml",
        "--epochs",
        "1",
        "--workers",
        "0",
    ]
    words += ["--batch-size", "3", "--noplots", "--noval", "--project", ".", "--name", "two"]
    taught = ("-m", "synet", "yolov5", "--teacher", "teacher.pt", "train")
    told = run(*taught, *words, cwd=school, SYNET_CACHE=str(school / "cache"))
    assert TOLD.findall(told) == ["1.00"]
    assert synet.get_model(school / "two" / "weights" / "last.pt").names == {0: "mark"}


@pytest.mark.slow
def test_every_rank_has_the_teacher(school):
    words = ["model=student.yaml", "data=marks/data.yaml", "epochs=1", "batch=4", "device=cpu,cpu"]
    words += ["plots=False", "workers=0", "amp=False", f"project={school}", "name=three"]
    taught = ("-m", "synet", "ultralytics", "--teacher", "teacher.pt", "train")
    told = run(*taught, *words, cwd=school, SYNET_CACHE=str(school / "cache"))
    assert len(TOLD.findall(told)) == 1  # the first tells it for all
