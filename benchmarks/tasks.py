"""Poses, segments, classes and rotated boxes: what int8 costs, by ultralytics' own validation.

For each task a data set is drawn, a model trained on it from scratch through ``synet
ultralytics``, quantized, and both files validated by ultralytics' own validators.

    python benchmarks/tasks.py [--epochs 30] [--tasks pose segment classify obb] [--out DIR]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from synet.data.drawn_shapes import draw_dataset
from synet.patches import patch_ultralytics
from synet.quantize import quantize_checkpoint

SHAPE = (240, 320)
# The model, and the figure of ultralytics' validation that a user looks at.
TASKS = {
    "pose": ("sabre-keypoint-qvga.yaml", "metrics/mAP50-95(P)"),
    "segment": ("sabre-segment-qvga.yaml", "metrics/mAP50-95(M)"),
    "classify": ("sabre-classify-qvga.yaml", "metrics/accuracy_top1"),
    "obb": ("yolov8n-obb.yaml", "metrics/mAP50-95(B)"),
}
BAR = 2.0  # points


def train(model: str, data: Path, out: Path, epochs: int) -> Path:
    """Train as a user does; returns the best checkpoint."""
    command = [sys.executable, "-m", "synet", "ultralytics", "--chip", "sabre", "train"]
    settings = (f"model={model}", f"data={data}", f"epochs={epochs}", "imgsz=240,320", "batch=16")
    settings += ("workers=0", "device=cpu", "amp=False", "plots=False", "pretrained=False")
    settings += (f"project={out}", "name=train", "seed=0")
    with (out / "train.log").open("w") as log:
        subprocess.run([*command, *settings], check=True, stdout=log, stderr=subprocess.STDOUT)
    return out / "train" / "weights" / "best.pt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    options = parser.parse_args()
    patch_ultralytics("sabre")
    from ultralytics import YOLO

    print("| task | model | figure | float | int8 | points lost (bar 2) |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for task in options.tasks:
        model, figure = TASKS[task]
        out = (options.out / task).resolve()
        out.mkdir(parents=True)
        data = draw_dataset(out / "data", train=options.images, val=100, shape=SHAPE, task=task)
        data = data if data.is_dir() else data.resolve()
        weights = train(model, data, out, options.epochs)
        int8 = quantize_checkpoint(weights, data, image_shape=SHAPE).path
        found = []
        for file in (weights, int8):
            settings = {"imgsz": list(SHAPE), "batch": 1, "device": "cpu", "plots": False}
            metrics = YOLO(file, task=task).val(data=str(data), project=str(out), **settings)
            found.append(metrics.results_dict[figure])
        lost = 100 * (found[0] - found[1])
        print(f"| {task} | {model} | {figure} | {found[0]:.4f} | {found[1]:.4f} | {lost:.2f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("YOLO_VERBOSE", "false")
    main()
