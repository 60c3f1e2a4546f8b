"""Blood cells: what a zoo model reaches from scratch, in float and as int8.

Trains on a private copy of the data set (YOLOv5 writes caches beside labels), quantizes the
best checkpoint, and evaluates both files on the same images with the same code.

    python benchmarks/blood_cells.py [--epochs 120] [--weights best.pt] [--out DIR]

The data set is found through ``SYNET_SHARED``, by default ``../shared``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from synet.evaluation.evaluate import evaluate
from synet.quantize import quantize_checkpoint

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SYNET_SHARED", HERE.parents[1] / "shared"))
MODEL = "katana-kqvga.yaml"


def train(data: Path, out: Path, epochs: int) -> Path:
    """Train as a user does; returns the best checkpoint."""
    command = [
        *(sys.executable, "-m", "synet", "yolov5", "train", "--cfg", MODEL, "--data", str(data)),
        *("--hyp", str(HERE / "blood_cells_hyp.yaml"), "--optimizer", "AdamW", "--cos-lr"),
        *("--epochs", str(epochs), "--batch-size", "16", "--seed", "0", "--cache", "ram"),
        *("--workers", "0", "--noplots", "--project", str(out), "--name", "train", "--exist-ok"),
    ]
    subprocess.run(command, check=True)
    return out / "train" / "weights" / "best.pt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--weights", type=Path, help="evaluate this checkpoint, train nothing")
    parser.add_argument("--out", type=Path, default=Path("runs/blood-cells"))
    options = parser.parse_args()
    data = options.out / "data" / "bccd.yaml"
    if not data.is_file():
        shutil.copytree(SHARED / "data" / "bccd", data.parent, copy_function=shutil.copyfile)
    weights = options.weights or train(data, options.out, options.epochs)
    int8 = quantize_checkpoint(weights, data, out_path=options.out / "best.tflite").path

    print("| split | model | mAP50 | mAP50-95 |\n| --- | --- | --- | --- |")
    for split in ("val", "test"):
        reports = [evaluate(model, data, split, progress=False) for model in (weights, int8)]
        for kind, report in zip(("float", "int8"), reports, strict=True):
            print(f"| {split} | {kind} | {report.map50:.4f} | {report.map50_95:.4f} |")
        lost = 100 * (reports[0].map50_95 - reports[1].map50_95)
        print(f"| {split} | points lost | | {lost:.2f} (bar 1.00) |")


if __name__ == "__main__":
    main()
