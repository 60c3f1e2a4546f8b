"""A training that goes on from a checkpoint writes where it lies, or where the user works."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml

from synet.patches.command_line import completed
from synet.patches.run_folders import with_own_folder
from synet.system.errors import SynetError


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The folder that the user works in; `tmp_path` is what lies around it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


ELSEWHERE = ["/elsewhere/run", "../elsewhere", "runs/../../elsewhere", "~/../../elsewhere", "a\0b"]


@pytest.mark.parametrize("folder", ELSEWHERE)
def test_a_folder_elsewhere_is_not_written_to(tmp_path, folder):
    model = torch.nn.Linear(1, 1)
    model.args = {"save_dir": folder}
    options = {"save_dir": folder, "project": folder, "name": "run", "imgsz": 64}
    content = {"train_args": options, "opt": Namespace(**options), "model": model}
    found = with_own_folder(content, "last.pt")
    for each in (found["train_args"], vars(found["opt"])):
        assert each == {
            "save_dir": "runs/resumed-last",
            "project": "runs",
            "name": "resumed",
            "imgsz": 64,
        }
    assert found["model"].args["save_dir"] == "runs/resumed-last"
    run = tmp_path / "moved" / "exp"  # where the user has put it
    found = with_own_folder(content | {"opt": {"save_dir": folder}}, run / "weights" / "last.pt")
    assert found["opt"]["save_dir"] == str(run)


@pytest.mark.parametrize("folder", [torch.zeros(2), 5, {}])
def test_a_folder_that_is_no_text(folder):
    options = {"save_dir": folder, "project": folder, "name": folder}
    found = with_own_folder({"opt": options}, "last.pt")
    assert found["opt"]["save_dir"] == "runs/resumed-last"


@pytest.mark.parametrize("name", ["/elsewhere", "../../elsewhere"])
def test_a_name_that_leads_elsewhere(name):
    found = with_own_folder({"train_args": {"project": "mine", "name": name}}, "last.pt")
    assert found["train_args"] == {"project": "runs", "name": "resumed"}


def test_a_link_that_leads_elsewhere(tmp_path, work):
    (work / "link").symlink_to(tmp_path)
    found = with_own_folder({"opt": {"save_dir": "link/elsewhere"}}, "last.pt")
    assert found["opt"]["save_dir"] == "runs/resumed-last"


def test_the_users_own_run_goes_on_where_it_was(tmp_path, work):
    run = tmp_path / "big disk" / "exp2"
    mine = {"save_dir": str(run), "project": str(run.parent), "name": "exp", "evolve": None}
    near = [
        {"save_dir": "runs/train/exp", "project": "runs/train", "name": "exp"},
        {"save_dir": str(work / "runs" / "a"), "project": None, "name": "a"},
        {"project": None, "name": None, "save_dir": None},
        {"lr0": 0.1},
    ]
    for options in (mine, *near):
        found = with_own_folder({"train_args": dict(options)}, run / "weights" / "last.pt")
        assert found["train_args"] == options
    for options in near:
        with open(work / "last.pt", "wb") as stream:
            assert with_own_folder({"opt": dict(options)}, stream)["opt"] == options
        assert with_own_folder({"opt": dict(options)}, io.BytesIO())["opt"] == options


def test_nothing_is_sent_anywhere():
    options = {"bucket": "x; touch y", "s3_upload_dir": "s3://a", "evolve": 300, "epochs": 3}
    found = with_own_folder({"opt": options}, "last.pt")["opt"]
    assert found == {"bucket": None, "s3_upload_dir": None, "evolve": None, "epochs": 3}


def test_who_trusts_a_checkpoint_says_so(monkeypatch):
    monkeypatch.setenv("SYNET_TRUST_CHECKPOINT", "1")
    content = {"opt": {"save_dir": "/elsewhere"}}
    assert with_own_folder(content, "last.pt") == {"opt": {"save_dir": "/elsewhere"}}


@pytest.mark.parametrize("content", [None, [], {"opt": 3}, {"model": 5}])
def test_what_has_no_options_is_left_alone(content):
    assert with_own_folder(content, None) is content


def test_the_yaml_beside_a_run(tmp_path):
    run = tmp_path / "exp"
    (run / "weights").mkdir(parents=True)
    last = str(run / "weights" / "last.pt")
    for folder in ("runs/train/exp", str(run)):
        (run / "opt.yaml").write_text(yaml.safe_dump({"save_dir": folder}))
        assert completed(["--resume", last]) == ["--resume", last]
    (run / "opt.yaml").write_text(yaml.safe_dump({"save_dir": str(tmp_path / "\x1b[2J")}))
    for words in (["--resume", last], [f"--resume={last}"]):
        with pytest.raises(SynetError, match="opt.yaml: save_dir: .*put .*exp there") as error:
            completed(words)
        assert str(error.value).isprintable()
    assert completed(["--resume", "--img", "64"]) == ["--resume", "--img", "64"]


# ------------------------------------------------------------------------------- real YOLOs

ULTRALYTICS = """
import sys
from synet.custom_patches import patch_custom

patch_custom("sabre")
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
import torch

folder, *files = sys.argv[1:]
DetectionTrainer.get_dataset = lambda self: sys.exit(self.save_dir)
rows = [[-1, 1, "Conv", [8, 3, 8]], [-1, 1, "Conv", [8, 3, 2]], [[0, 1], 1, "Detect", ["nc"]]]
model = DetectionModel({"nc": 1, "backbone": rows[:2], "head": rows[2:]}, verbose=False)
options = {"task": "detect", "save_dir": folder, "project": folder, "name": "x"}
for file in files:
    torch.save({"model": model, "train_args": options, "epoch": 0}, file)
    try:
        DetectionTrainer(overrides={"model": file, "resume": file, "data": "a", "device": "cpu"})
    except SystemExit as told:
        print("writes to", told)
"""

YOLOV5 = """
import sys
from synet.custom_patches import patch_custom

patch_custom("katana")
import torch
from yolov5 import train

folder, *files = sys.argv[1:]
train.train = lambda hyp, opt, *_: print("writes to", opt.save_dir)
options = {"save_dir": folder, "evolve": 2, "bucket": "x", "batch_size": 2, "device": "cpu"}
for file in files:
    torch.save({"opt": options | {"hyp": {}}}, file)
    sys.argv[1:] = ["--resume", file]
    train.main(train.parse_opt())
"""


@pytest.mark.parametrize(("yolo", "code"), [("ultralytics", ULTRALYTICS), ("yolov5", YOLOV5)])
def test_a_real_yolo_goes_on_in_the_folder_of_the_run(tmp_path, work, yolo, code):
    if importlib.util.find_spec(yolo) is None:
        pytest.skip(f"{yolo} is not installed")
    run, canary = tmp_path / "run", tmp_path / "canary"
    (run / "weights").mkdir(parents=True)
    (tmp_path / "settings").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(canary), str(run / "weights" / "last.pt"), "a.pt"],
        capture_output=True,
        text=True,
        env={**os.environ, "YOLO_CONFIG_DIR": str(tmp_path / "settings")},
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("writes to ")]
    places = [work / line.removeprefix("writes to ") for line in told]
    assert places == [run, work / "runs" / "resumed-a"], done.stderr[-2000:]
    assert not canary.exists()
