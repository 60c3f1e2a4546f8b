"""A YOLO of a few lines that has a loss, and teachers for what it trains."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch_fork

from synet.custom_patches import patch_custom, unpatch

LOSS = """
class ComputeLoss:
    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, p, targets):
        loss = self.gain * sum(y.square().mean() for y in p).view(1)
        return loss * len(targets), loss.detach()

    def build_targets(self, p, targets):
        return targets

class Outer(ComputeLoss):
    def __call__(self, p, targets):
        loss, items = super().__call__(p, targets)
        return 2 * loss, items

def compute_loss(p, targets, model):
    loss = sum(y.square().mean() for y in p)
    return loss * len(targets), loss.detach()

def build_targets(p, targets, model):
    return targets

class Unknown:
    def __call__(self, some, thing):
        return sum(y.square().mean() for y in some), None
"""


def write(folder: Path, package: str) -> Path:
    """Write the fork as `package` below `folder`; its model is ``small.yaml``."""
    home = folder / package
    home.mkdir(parents=True)
    (home / "__init__.py").touch()
    for name in ("common", "yolo"):
        text = torch_fork.FILES[f"models/{name}.py"].replace("models.", f"{package}.")
        text = text.replace("    def forward(self, x):\n        for", f"{FUSE}        for")
        (home / f"{name}.py").write_text(text)
    (home / "loss.py").write_text(LOSS)
    (folder / "small.yaml").write_text(torch_fork.FILES["small.yaml"])
    return folder


FUSE = """    def fuse(self):
        return self

    def forward(self, x):
"""


def load(folder: Path, package: str, teacher: Path | None = None) -> tuple[Any, ModuleType]:
    """Patch the process, until `unpatch`; an untrained model of the fork, and its losses."""
    importlib.invalidate_caches()
    patch_custom("katana", roots=[folder], repairs=False, teacher=teacher)
    yolo, losses = (importlib.import_module(f"{package}.{name}") for name in ("yolo", "loss"))
    return yolo.Model(str(folder / "small.yaml")), losses


def save_teacher(folder: Path, package: str, nc: int = 2, names: tuple[str, ...] = ()) -> Path:
    """Checkpoint of a model of the fork, built under the patch, whose rows differ."""
    text = (folder / "small.yaml").read_text()
    try:
        patch_custom("katana", roots=[folder], repairs=False)
        (folder / "teacher.yaml").write_text(text.replace("nc: 2", f"nc: {nc}"))
        yolo = importlib.import_module(f"{package}.yolo")
        torch.manual_seed(1)
        model = yolo.Model(str(folder / "teacher.yaml"))
        for conv in model.model[-1].m:
            torch.nn.init.normal_(conv.weight, std=1.0)
        model.names = list(names) or [str(number) for number in range(nc)]
        torch.save({"model": model, "ema": None}, folder / "teacher.pt")
    finally:
        unpatch()
    return folder / "teacher.pt"
