"""The installed yolov5 in the layouts of real forks, drawn images, and runs of its scripts."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from model_yaml import model_yaml

TWO_LINES = 'from synet.custom_patches import patch_custom\n\npatch_custom("katana")\n'
RENAMED = "our_detector"
MIXED = model_yaml(
    backbone="""
    [-1, 1, Grayscale, []]
    [-1, 1, Stem, [32]]
    [-1, 3, InvertedResidual, [64, 2, 2]]
    [-1, 3, C3, [64]]
    [[-1, -2], 1, Add, []]
    [-1, 1, Conv, [128, 3, 2]]
    [-1, 1, SPPF, [128, 5]]
    """,
    head="""
    [-1, 1, nn.Upsample, [None, 2, nearest]]
    [[-1, 4], 1, Concat, [1]]
    [-1, 1, Head, [64]]
    [[9, 6], 1, Detect, [nc, anchors]]
    """,
    about="synet: {chip: katana, image_shape: [64, 96]}\n",
    multiples=(0.33, 0.5),
)


def installed() -> Path:
    return Path(importlib.util.find_spec("yolov5").submodule_search_locations[0])


def write_clone(folder: Path) -> Path:
    """A clone's layout: models/yolo.py, utils/ and train.py in one folder that is no package."""
    root = folder / "clone"
    shutil.copytree(installed(), root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "__init__.py").unlink()
    (root / "cli.py").unlink()
    for file in root.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"\b(from|import) yolov5\.", r"\1 ", text)
        text = re.sub(r"from yolov5 import (__version__)(?: as (\w+))?", _version, text)
        file.write_text(text, encoding="utf-8")
    _patch(root / "train.py")
    return root


def write_package(folder: Path) -> Path:
    """A package of another name, whose modules import each other by it."""
    root = folder / RENAMED
    shutil.copytree(installed(), root, ignore=shutil.ignore_patterns("__pycache__"))
    for file in root.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"\b(from|import) yolov5(?=[. ])", rf"\1 {RENAMED}", text)
        file.write_text(text, encoding="utf-8")
    _patch(root / "train.py")
    return root


def _version(match: re.Match) -> str:
    return f'{match[2] or match[1]} = "of a clone"'


def _patch(script: Path) -> None:
    script.write_text(TWO_LINES + script.read_text(encoding="utf-8"), encoding="utf-8")


def draw_images(folder: Path, polygons: bool = False) -> Path:
    """A dozen images of 96x64 pixels with a square or a disc each; returns the data yaml."""
    random = np.random.default_rng(0)
    for index in range(12):
        split = "train" if index < 8 else "val"
        image = random.integers(0, 80, (64, 96, 3), dtype=np.uint8)
        x, y, side = (int(n) for n in random.integers((20, 20, 20), (70, 40, 36)))
        left, top, right, bottom = x - side // 2, y - side // 2, x + side // 2, y + side // 2
        if index % 2:
            cv2.circle(image, (x, y), side // 2, (230, 230, 230), -1)
        else:
            cv2.rectangle(image, (left, top), (right, bottom), (180, 200, 220), -1)
        sides = [max(left, 0) / 96, max(top, 0) / 64, min(right, 96) / 96, min(bottom, 64) / 64]
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / split / f"{index}.png"), image)
        place = _polygon(*sides) if polygons else _box(*sides)
        label = folder / "labels" / split / f"{index}.txt"
        label.write_text(" ".join(map(str, [index % 2, *place])) + "\n")
    data = folder / "drawn.yaml"
    data.write_text("path: .\ntrain: images/train\nval: images/val\nnames: [square, disc]\n")
    return data


def _box(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def _polygon(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def run(*command: str | Path, cwd: Path, status: int = 0, **environment: str) -> str:
    """Run Python with `command` in a fresh process; its output, both streams."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300,
    )
    assert done.returncode == status, done.stdout[-4000:]
    return done.stdout


def training(data: Path, out: Path, *more: str | Path) -> list[str | Path]:
    """Arguments of a training that is over in seconds."""
    quick = "--epochs 1 --batch-size 4 --workers 0 --noplots --img 96 --device cpu".split()
    return ["--data", data, "--project", out.parent, "--name", out.name, *quick, *more]


LOOK = """
import json, sys, synet
from torch import nn
weights, repo = sys.argv[1], sys.argv[2] or None
model = synet.get_model(weights, repo)
kinds = [f"{type(m).__module__}.{type(m).__name__}" for m in model.modules()]
plain = [
    name
    for name, m in model.named_modules()
    if type(m) is nn.Conv2d and set(m.kernel_size) != {1}
    or type(m) in (nn.SiLU, nn.LeakyReLU, nn.MaxPool2d)
]
import torch
with torch.no_grad():
    rows = model(torch.rand(1, 1 if model.yaml["ch"] == 1 else 3, 64, 96))[0].shape[1]
print(json.dumps([sorted(set(kinds)), plain, model.names, model.image_shape, rows]))
"""


def write_untouched(folder: Path) -> dict[str, Path]:
    """A clone and a renamed package, whose scripts hold no line of ours."""
    found = {"clone": write_clone(folder), "package": write_package(folder)}
    for root in found.values():
        script = root / "train.py"
        script.write_text(script.read_text().removeprefix(TWO_LINES))
    return found
