"""The stock package trains with its repairs, and without a network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from bare_install import ROOT

DRIVER = """
import runpy, socket, subprocess, sys
from pathlib import Path

class Offline(socket.socket):
    def connect(self, address):
        if self.family != getattr(socket, "AF_UNIX", None):
            raise OSError(f"tried to reach {address}")
        return super().connect(address)

def no_name(*args, **kwargs):
    raise socket.gaierror(f"tried to look up {args}")

socket.socket, socket.getaddrinfo = Offline, no_name

import importlib.util, torch, wrapt
from synet.checkpoints.read import safe_load
from synet.patches.repairs.libraries import apply_library_repairs
from synet.patches.repairs.fork_functions import FORK_REPAIRS
from synet.patches.undo import Applied

applied = Applied()
apply_library_repairs(applied)
root = Path(importlib.util.find_spec("yolov5").origin).parent
wrapper = safe_load(lambda: [root])
applied.bind(torch, "load", wrapt.FunctionWrapper(torch.load, wrapper))
from yolov5.utils import downloads
(hub,) = [repair for repair in FORK_REPAIRS if repair.name == "hub"]
downloads.attempt_download_from_hub = wrapt.FunctionWrapper(
    downloads.attempt_download_from_hub, hub.wrapper
)
sys.argv[0] = "train.py"
runpy.run_module("yolov5.train", run_name="__main__")
"""


def draw(folder: Path) -> Path:
    """A dozen squares, labelled."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(4, 28, 2))
            cv2.rectangle(image, (x, y), (x + 24, y + 24), (255, 255, 255), -1)
            cv2.imwrite(str(folder / "images" / split / f"{i}.png"), image)
            label = f"0 {(x + 12) / 64} {(y + 12) / 64} {24 / 64} {24 / 64}\n"
            (folder / "labels" / split / f"{i}.txt").write_text(label)
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "names": ["square"]}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return folder / "data.yaml"


@pytest.mark.slow
def test_stock_yolov5_trains_saves_and_resumes_offline(tmp_path):
    """A fresh home (no font, no settings), no network: one epoch, then another from its file."""
    if importlib.util.find_spec("yolov5") is None:
        pytest.skip("the yolov5 package is not installed")
    (tmp_path / "driver.py").write_text(textwrap.dedent(DRIVER))
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    (tmp_path / "home" / ".config").mkdir(parents=True)

    def train(*arguments: str) -> str:
        command = [sys.executable, "driver.py", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    data = draw(tmp_path / "data")
    options = "--cfg yolov5n.yaml --imgsz 64 --batch-size 4 --workers 0 --device cpu --epochs 2"
    train(*options.split(), "--weights", "", "--data", str(data), "--save-period", "1")
    weights = tmp_path / "runs" / "train" / "exp" / "weights"
    assert (weights / "best.pt").is_file()
    assert "from epoch 1 to 2" in train("--resume", str(weights / "epoch0.pt"))
