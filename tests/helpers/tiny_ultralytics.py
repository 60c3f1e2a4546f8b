"""Networks of two levels for every task, built by ultralytics itself under the patch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from synet.data.drawn_shapes import NAMES

SHAPE = (64, 96)
KEYPOINTS = [4, 3]
HEADS = {  # class of the model, and last row
    "detect": ("DetectionModel", [[2, 3], 1, "Detect", ["nc"]]),
    "pose": ("PoseModel", [[2, 3], 1, "Pose", ["nc", "kpt_shape"]]),
    "segment": ("SegmentationModel", [[2, 3], 1, "Segment", ["nc", 4, 8]]),
    "obb": ("OBBModel", [[2, 3], 1, "OBB", ["nc", 1]]),
    "classify": ("ClassificationModel", [-1, 1, "Classify", ["nc"]]),
}


def network(task: str, channels: int = 3) -> Any:
    """A network whose answers differ from row to row; scores are about a half."""
    tasks = importlib.import_module("ultralytics.nn.tasks")
    name, head = HEADS[task]
    definition = {
        "nc": len(NAMES),
        "kpt_shape": KEYPOINTS,
        "channels": channels,
        "backbone": [[-1, 1, "Conv", [width, 3, 2]] for width in (8, 8, 16, 16)],
        "head": [head],
    }
    torch.manual_seed(0)
    model = getattr(tasks, name)(definition, ch=channels, verbose=False)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and "dfl" not in name:
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.5)
    for branch in getattr(model.model[-1], "cv2", ()):  # boxes of a few cells
        branch[-1].bias.data += torch.arange(16).mul(-0.7).repeat(4)
    model.names = dict(enumerate(NAMES))
    model.args = {"task": task}
    return model.eval()


def save(model: Any, path: Path) -> Path:
    """A checkpoint as ultralytics writes it."""
    torch.save({"model": model, "train_args": model.args, "epoch": -1}, path)
    return path


def metadata(model: Any, task: str, channels: int = 3) -> dict[str, Any]:
    """What `synet quantize` tells of such a file."""
    facts = {"producer": "synet 0", "task": task, "names": list(NAMES), "channels": channels}
    return facts | {"imgsz": list(SHAPE), "strides": [int(s) for s in model.stride]}
