"""YOLOv8n on blood cells: what the patch costs in accuracy, and what int8 costs on top.

Trains ultralytics' own ``yolov8n.yaml`` twice from scratch with the same settings, side by side,
once as it is and once patched, and compares what ultralytics' own validation says of the best
epochs. The patched one is then quantized, and evaluated beside its int8 file.

    python benchmarks/yolov8n.py [--epochs 100] [--chip sabre] [--out DIR]

Trainings that are in DIR already are not repeated. The data set is found through ``SYNET_SHARED``,
by default ``../shared``.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

from synet.data.yolo_yaml import resolved_yaml
from synet.evaluation.evaluate import evaluate
from synet.quantize import quantize_checkpoint

SHARED = Path(os.environ.get("SYNET_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SETTINGS = ("model=yolov8n.yaml", "imgsz=320", "batch=16", "seed=0", "device=cpu", "amp=False")
SETTINGS += ("pretrained=False", "workers=0", "cache=ram", "plots=False", "exist_ok=True")
SHAPE = (256, 320)  # of the int8 file, and of both evaluations: blood cells are 480x640


def start(kind: str, command: list[str], out: Path, epochs: int) -> subprocess.Popen:
    """Start a training on data of its own: ultralytics writes caches beside labels."""
    data = out / kind / "data"
    shutil.copytree(SHARED / "data" / "bccd", data, copy_function=shutil.copyfile)
    resolved_yaml(data / "bccd.yaml", data / "absolute.yaml")
    settings = [f"data={data / 'absolute.yaml'}", f"epochs={epochs}", f"project={out / kind}"]
    with (out / f"{kind}.log").open("w") as log:
        return subprocess.Popen(
            [*command, "train", *SETTINGS, *settings, "name=train"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2))},
        )


def best_epoch(results: Path) -> tuple[float, float]:
    """mAP50 and mAP50-95 of the epoch that ultralytics keeps as ``best.pt``."""
    with results.open() as file:
        rows = [{k.strip(): v for k, v in row.items()} for row in csv.DictReader(file)]
    pairs = [tuple(float(row[f"metrics/{m}(B)"]) for m in ("mAP50", "mAP50-95")) for row in rows]
    return max(pairs, key=lambda pair: 0.1 * pair[0] + 0.9 * pair[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--chip", default="sabre")
    parser.add_argument("--out", type=Path, default=Path("runs/yolov8n"))
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    plain = [str(Path(sys.executable).with_name("yolo")), "detect"]
    patched = [sys.executable, "-m", "synet", "ultralytics", "--chip", options.chip]
    commands = {"plain": plain, "patched": patched}
    running = {
        kind: start(kind, command, out, options.epochs)
        for kind, command in commands.items()
        if not (out / kind / "train" / "results.csv").is_file()
    }
    for kind, process in running.items():
        if process.wait():
            sys.exit(f"training failed, see {out / kind}.log")

    print("| YOLOv8n, 320x320 | mAP50 | mAP50-95 |\n| --- | --- | --- |")
    found = {kind: best_epoch(out / kind / "train" / "results.csv") for kind in commands}
    for kind, (map50, map50_95) in found.items():
        print(f"| {kind} | {map50:.4f} | {map50_95:.4f} |")
    lost = 100 * (found["plain"][1] - found["patched"][1])
    print(f"| points lost | | {lost:.2f} (bar 1.50) |\n", flush=True)

    weights, data = (
        out / "patched" / "train" / "weights" / "best.pt",
        SHARED / "data/bccd/bccd.yaml",
    )
    int8 = quantize_checkpoint(weights, data, image_shape=SHAPE).path
    reports = [evaluate(file, data, image_shape=SHAPE, progress=False) for file in (weights, int8)]
    print("| patched, 256x320 | mAP50 | mAP50-95 | confidence shift |\n| --- | --- | --- | --- |")
    for kind, report in zip(("float", "int8"), reports, strict=True):
        shift = f"{report.shift.mean:.4f}" if report.shift else ""
        print(f"| {kind} | {report.map50:.4f} | {report.map50_95:.4f} | {shift} |")
    lost = 100 * (reports[0].map50_95 - reports[1].map50_95)
    print(f"| points lost | | {lost:.2f} (bar 1.00) | |")


if __name__ == "__main__":
    main()
