"""Blood cells: what a teacher is worth to katana-kqvga, trained for few epochs.

Trains the same student with and without a teacher, seed by seed, and evaluates the best checkpoints
with the same code. The teacher is a stock YOLOv8s, trained by ultralytics itself unless given.

    python benchmarks/teacher.py [--epochs 36] [--seeds 0 1 2] [--teacher best.pt] [--out DIR]
        [--line ultralytics] [--model katana-kqvga.yaml] [--imgsz 240,320] [--split val]

36 epochs are 30 % of those that `blood_cells.py` takes. The data set is found through
``SYNET_SHARED``, by default ``../shared``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from synet.evaluation.evaluate import evaluate

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SYNET_SHARED", HERE.parents[1] / "shared"))
SYNET = (sys.executable, "-m", "synet")
STOCK = "import sys; from ultralytics.cfg import entrypoint; sys.argv[0] = 'yolo'; entrypoint()"
QUICK = ("workers=0", "plots=False", "exist_ok=True", "pretrained=False", "cache=ram")


def train_teacher(model: str, data: Path, out: Path, epochs: int, imgsz: int) -> Path:
    """Train a stock model as people do who know nothing of a chip."""
    words = ["train", f"model={model}", f"data={data}", f"epochs={epochs}", f"imgsz={imgsz}"]
    words += [*QUICK, f"project={out}", "name=teacher"]
    subprocess.run([sys.executable, "-c", STOCK, *words], check=True)
    return out / "teacher" / "weights" / "best.pt"


def train_student(
    options: argparse.Namespace, data: Path, seed: int, teacher: Path | None
) -> tuple[Path, float]:
    """Train as a user does; the best checkpoint, and the seconds that it took."""
    name = f"{options.line}-{seed}-{'taught' if teacher else 'alone'}"
    taught = ["--teacher", str(teacher)] if teacher else []
    if options.line == "ultralytics":
        words = ["train", f"model={options.model}", f"data={data}", f"epochs={options.epochs}"]
        words += [*QUICK, f"seed={seed}", f"project={options.out}", f"name={name}"]
    else:
        words = ["train", "--cfg", options.model, "--data", str(data), "--epochs"]
        words += [str(options.epochs), "--hyp", str(HERE / "blood_cells_hyp.yaml")]
        words += ["--optimizer", "AdamW", "--cos-lr", "--batch-size", "16", "--cache", "ram"]
        words += ["--workers", "0", "--noplots", "--seed", str(seed), "--exist-ok"]
        words += ["--project", str(options.out), "--name", name]
    if options.imgsz:
        is_v5 = options.line == "yolov5"
        words += ["--img", options.imgsz] if is_v5 else [f"imgsz={options.imgsz}"]
    start = time.monotonic()
    subprocess.run([*SYNET, options.line, *taught, *words], check=True)
    seconds = time.monotonic() - start
    return options.out / name / "weights" / "best.pt", seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--line", choices=("ultralytics", "yolov5"), default="ultralytics")
    parser.add_argument("--model", default="katana-kqvga.yaml", help="the student")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--imgsz", default="", help="HEIGHT,WIDTH; default: the student's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", default="val")
    parser.add_argument("--teacher", type=Path, help="a checkpoint; else one is trained")
    parser.add_argument("--teacher-model", default="yolov8s.yaml")
    parser.add_argument("--teacher-epochs", type=int, default=100)
    parser.add_argument("--teacher-imgsz", type=int, default=320)
    parser.add_argument("--out", type=Path, default=Path("runs/teacher"))
    options = parser.parse_args()
    options.out = options.out.resolve()
    data = options.out / "data" / "bccd.yaml"
    if not data.is_file():
        shutil.copytree(SHARED / "data" / "bccd", data.parent, copy_function=shutil.copyfile)
    teacher = options.teacher and options.teacher.resolve()
    if teacher is None:
        size = options.teacher_imgsz
        model, epochs = options.teacher_model, options.teacher_epochs
        teacher = train_teacher(model, data, options.out, epochs, size)

    gained, speeds, rows = [], [], []
    for seed in options.seeds:
        found = {}
        for name, given in (("alone", None), ("taught", teacher)):
            weights, seconds = train_student(options, data, seed, given)
            report = evaluate(weights, data, options.split, progress=False)
            found[name] = report.map50_95, seconds
            rows.append(
                f"| {seed} | {name} | {report.map50:.4f} | {report.map50_95:.4f} | {seconds:.0f} |"
            )
        gained.append(100 * (found["taught"][0] - found["alone"][0]))
        speeds.append(found["alone"][1] / found["taught"][1])
    print(f"{options.model}, {options.line}, {options.epochs} epochs; teacher {teacher}")
    print("| seed | student | mAP50 | mAP50-95 | seconds |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    print(f"points gained: {statistics.mean(gained):.2f} (bar 1.5)")
    print(f"throughput: {statistics.mean(speeds):.2f} of that alone (bar 0.55)")


if __name__ == "__main__":
    main()
