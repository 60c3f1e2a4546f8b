from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from synet.commands import demo_run as demo
from synet.data.images import read_image
from synet.data.yolo_yaml import load_dataset
from synet.system.errors import SynetError, TrainingError

# What YOLOv5 prints in one epoch; a progress bar ends each of its states with a carriage return.
TRAINING_OUTPUT = """\
synet: Conv -> InvertedResidual
        0/1         0G    0.07267    0.05106    0.02224         39        320:  50%|##   | 1/2 [00:01<00:01]
        0/1         0G    0.07267    0.05106    0.02224         39        320: 100%|#####| 2/2 [00:02<00:00]
                 Class     Images  Instances          P          R      mAP50   mAP50-95: 100%|#####| 2/2 [00:00]
                   all         64        193      0.503      0.355      0.482      0.248

"""  # noqa: E501


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def text_of(console: Console) -> str:
    return console.file.getvalue()


def test_training_shows_a_line_for_each_epoch(console):
    lines = TRAINING_OUTPUT.splitlines(keepends=True)
    last_line = demo._follow([*lines, *lines[-2:]], console)
    assert last_line.startswith("all")
    shown = [line.strip() for line in text_of(console).splitlines() if line.strip()]
    assert shown == [
        "epoch 1: mAP50 0.482, mAP50-95 0.248",
        "the best: mAP50 0.482, mAP50-95 0.248",
    ]


def test_a_traceback_after_the_first_epoch_ends_as_the_last_line(console):
    lines = [*TRAINING_OUTPUT.splitlines(keepends=True), "RuntimeError: no memory\n", "\n"]
    assert demo._follow(lines, console) == "RuntimeError: no memory"


def test_training_that_fails_is_one_line_that_names_the_log(tmp_path, console, monkeypatch):
    monkeypatch.setattr(demo, "MODEL", "no-such-model.yaml")
    data = demo.draw_dataset(tmp_path / "data", train=1, val=1, test=1)
    with pytest.raises(TrainingError, match=r"^training failed \(status \d+\): .+; see .+$"):
        demo._train(tmp_path, data, console)
    assert "no-such-model" in (tmp_path / "train.log").read_text()


def test_a_folder_of_the_users_is_not_touched(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    with pytest.raises(SynetError, match=r"holds data, which is not the demo's"):
        demo.run_demo(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "mine.txt"]


def test_what_the_user_put_into_an_earlier_demo_is_not_touched(tmp_path):
    out = tmp_path / "demo"
    demo._claim(out)
    (out / "results.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SynetError, match=r"holds notes.txt"):
        demo.run_demo(out)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "results.json").exists()


def test_an_earlier_demo_is_replaced(tmp_path):
    out = tmp_path / "demo"
    demo._claim(out)
    (out / "results.json").write_text("{}")
    (out / "train" / "weights").mkdir(parents=True)
    demo._claim(out)
    assert [path.name for path in out.iterdir()] == [demo.MARKER]


def test_ctrl_c_leaves_nothing(tmp_path):
    """Interrupted as by a terminal, which signals every process of the group."""
    # A shell's background jobs, as tests may be, start with the signal ignored.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{listen}; from synet.commands.demo_run import run_demo; run_demo('out')",
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(demo.__file__).parent.parent)},
    )
    try:
        log = tmp_path / "out" / "train.log"
        deadline = time.monotonic() + 120
        while not log.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    finally:
        process.kill()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_whole_demo(tmp_path, monkeypatch):
    """Every stage of it, with a training of a few images."""
    monkeypatch.setattr(demo, "IMAGES", 20)
    monkeypatch.setattr(demo, "EPOCHS", 2)
    out = tmp_path / "runs" / "demo"
    results = demo.run_demo(out)

    assert json.loads((out / "results.json").read_text()) == results
    assert results["int8"]["map50_95"] >= results["float"]["map50_95"] - 0.02
    assert results["chip"]["name"] == "katana" and results["chip"]["fits"]
    assert results["chip"]["verdict"].startswith("fits katana: ")
    stages = ["draw", "train", "quantize", "evaluate", "check", "picture", "total"]
    assert list(results["seconds"]) == stages
    assert {entry.name for entry in out.iterdir()} == demo.OURS
    for file in results["files"].values():
        assert (out / file).is_file()
    assert len(load_dataset(out / results["files"]["data"]).names) == 3
    height, width, _ = read_image(out / results["files"]["picture"]).shape
    assert height > demo.PICTURES * 240 and width > 3 * 320


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_demo_as_users_run_it_finds_most(tmp_path):
    results = demo.run_demo(tmp_path / "demo")
    assert results["int8"]["map50"] >= 0.80
    assert results["int8"]["map50_95"] >= results["float"]["map50_95"] - 0.02
