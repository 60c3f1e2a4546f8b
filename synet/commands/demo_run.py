"""The whole way on a drawn data set: train, quantize, evaluate, check against the chip, look."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from synet.data.drawn_shapes import draw_dataset
from synet.data.images import read_image, write_image
from synet.data.yolo_yaml import load_dataset
from synet.detections.draw import draw, side_by_side
from synet.evaluation.evaluate import Report, evaluate
from synet.evaluation.found import ground_truth
from synet.inspection.profile import profile
from synet.models.detect import detect
from synet.models.predictor import load_predictor
from synet.quantization.quantize_model import quantize_checkpoint
from synet.system.errors import SynetError, TrainingError
from synet.system.files import write_atomic
from synet.system.private import sweep

CHIP, MODEL = "katana", "katana-kqvga.yaml"
# Crowded pictures teach as much in half as many; the ones that judge are drawn as ever.
IMAGES, CROWD = 200, 24
EPOCHS, BATCH_SIZE = 14, 5
# For a few minutes instead of hundreds of epochs. Mosaics and large changes of scale would not pay
# off. YOLOv5 scales cls by classes / 80 and obj by image area: the gains make up for that. Once
# warm it takes a step for every 64 images; in a warm-up that does not end, after every batch, at
# the learning rate lr0 times the part of the warm-up that is over.
HYPERPARAMETERS = """\
{lr0: 0.25, lrf: 0.02, momentum: 0.9, weight_decay: 0.0005,
 warmup_epochs: 140.0, warmup_momentum: 0.9, warmup_bias_lr: 0.0,
 box: 0.05, cls: 10.0, cls_pw: 1.0, obj: 3.0, obj_pw: 1.0, fl_gamma: 0.0, iou_t: 0.2, anchor_t: 4.0,
 hsv_h: 0.0, hsv_s: 0.0, hsv_v: 0.3, degrees: 0.0, translate: 0.1, scale: 0.2, shear: 0.0,
 perspective: 0.0, flipud: 0.5, fliplr: 0.5, mosaic: 0.0, mixup: 0.0, copy_paste: 0.0}
"""
PICTURES = 4

MARKER, LOG = ".synet-demo", "train.log"
OURS = {
    *(MARKER, "data", "hyperparameters.yaml", "train", LOG),
    *("best.tflite", "comparison.png", "results.json"),
}
# What YOLOv5 prints: a batch of an epoch ("  3/23  0G ... 57%|####  | 14/25"), and the line that
# validation ends with ("all  images  instances  P  R  mAP50  mAP50-95").
BATCH_LINE = re.compile(r"\s*(\d+)/(\d+)\s.*\|\s*(\d+)/(\d+)\s")
VALIDATION_LINE = re.compile(r"\s*all\s+\d+\s+\d+\s+\S+\s+\S+\s+(\S+)\s+(\S+)")


def run_demo(out: str | Path = "runs/demo") -> dict[str, Any]:
    """Draw a data set, train on it, and carry the model to a checked int8 file.

    Parameters
    ----------
    out
        The folder for everything. An earlier demo in it is replaced, anything else is not touched.
        A run that is interrupted leaves nothing there, one that fails leaves its training log.

    Returns
    -------
    What ``results.json`` holds: ``float`` and ``int8``, each with ``map50`` and ``map50_95``;
    ``chip`` with ``name``, ``fits`` and ``verdict``; ``seconds`` by stage; ``files`` by what they
    are, relative to `out`.

    Raises
    ------
    SynetError
        `out` holds something else, or cannot be written.
    TrainingError, VerificationError
        Training failed, or the int8 file is not what it must be.
    """
    out = Path(out)
    _claim(out)
    try:
        return _run(out, Console())
    except KeyboardInterrupt:
        _remove_demo(out)
        raise


def _run(out: Path, console: Console) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    start = perf_counter()

    with _stage(console, seconds, "draw", "circles, squares and triangles on cluttered grounds"):
        data = draw_dataset(out / "data", train=IMAGES, crowd=CROWD)
    with _stage(console, seconds, "train", f"{MODEL}, {EPOCHS} epochs; all output in {out / LOG}"):
        weights = _train(out, data, console)
    with _stage(console, seconds, "quantize", "best checkpoint to int8 TFLite"):
        tflite = quantize_checkpoint(weights, data, out_path=out / "best.tflite").path
    with _stage(console, seconds, "evaluate", "float and int8 on the same images"):
        reports = {kind: evaluate(file, data) for kind, file in _models(weights, tflite)}
    with _stage(console, seconds, "check", f"the file against {CHIP}"):
        checked = profile(tflite, CHIP)
    with _stage(console, seconds, "picture", "ground truth, float and int8 side by side"):
        picture = write_image(out / "comparison.png", _comparison(data, weights, tflite))

    seconds["total"] = round(perf_counter() - start, 1)
    files = {"data": data, "weights": weights, "tflite": tflite, "picture": picture}
    results = {
        **{kind: _figures(report) for kind, report in reports.items()},
        "chip": {"name": CHIP, "fits": not checked.violations, "verdict": checked.verdict()},
        "seconds": seconds,
        "files": {what: Path(file).relative_to(out).as_posix() for what, file in files.items()},
    }
    write_atomic(out / "results.json", json.dumps(results, indent=2) + "\n")
    _summarize(out, results, console)
    return results


def _claim(out: Path) -> None:
    """Make `out` an empty folder that is known as the demo's."""
    if out.is_dir():
        sweep(out)
        names = {entry.name for entry in out.iterdir()}
        foreign = sorted(names - OURS if MARKER in names else names)
        if foreign:
            raise SynetError(
                f"{out}: holds {foreign[0]}, which is not the demo's; "
                "move it away, or name another folder with --out"
            )
        _remove_demo(out)
    write_atomic(out / MARKER, "synet demo made this folder and replaces it when it runs again.\n")


def _remove_demo(out: Path) -> None:
    """Remove the demo's own files, the marker last, and the folder where that leaves it empty."""
    for name in sorted(OURS - {MARKER}):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (out / MARKER).unlink(missing_ok=True)
    if not any(out.iterdir()):
        out.rmdir()


@contextmanager
def _stage(console: Console, seconds: dict[str, float], name: str, what: str) -> Iterator[None]:
    """Announce a stage, and note how long it took."""
    console.print(f"[bold]{name:<9}[/] {what}")
    start = perf_counter()
    yield
    seconds[name] = round(perf_counter() - start, 1)
    console.print(f"{'':<9} {seconds[name]:.1f} s", style="dim")


def _train(out: Path, data: Path, console: Console) -> Path:
    """Train as a user would, in a process of its own, and return the best checkpoint."""
    hyperparameters = write_atomic(out / "hyperparameters.yaml", HYPERPARAMETERS)
    command = [
        *(sys.executable, "-m", "synet", "yolov5", "train", "--cfg", MODEL),
        *("--data", str(data), "--hyp", str(hyperparameters)),
        *("--epochs", str(EPOCHS), "--batch-size", str(BATCH_SIZE), "--workers", "2"),
        *("--optimizer", "AdamW", "--rect", "--cache"),
        *("--project", str(out), "--name", "train", "--exist-ok", "--noplots"),
    ]
    log = out / LOG
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,  # also ends a line where a progress bar returns to its start
        errors="replace",
        env=os.environ | {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    )
    try:
        with log.open("w", encoding="utf-8") as file:
            last_line = _follow(_copied(process.stdout, file), console)
        status = process.wait()
    finally:
        _stop(process)
    weights = out / "train" / "weights" / "best.pt"
    if status != 0 or not weights.is_file():
        raise TrainingError(f"training failed (status {status}): {last_line}; see {log}")
    return weights


def _copied(lines: Iterable[str], file: Any) -> Iterator[str]:
    """The lines themselves, each written to `file` on its way."""
    for line in lines:
        file.write(line)
        file.flush()
        yield line


def _follow(lines: Iterable[str], console: Console) -> str:
    """Show YOLOv5's output as a bar and one line per epoch; the last line that says anything."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    last_line, epoch, validated = "", 0, 0
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        for line in lines:
            last_line = line.strip() or last_line
            if batch := BATCH_LINE.match(line):
                current, final, done, batches = map(int, batch.groups())
                epoch, epochs = current + 1, final + 1
                progress.update(
                    bar,
                    description=f"epoch {epoch} of {epochs}",
                    total=epochs,
                    completed=current + done / batches,
                )
            elif found := VALIDATION_LINE.match(line):
                map50, map50_95 = map(float, found.groups())
                # YOLOv5 ends with another validation, of the best checkpoint
                what = f"epoch {epoch}" if epoch > validated else "the best"
                console.print(f"{'':<9} {what}: mAP50 {map50:.3f}, mAP50-95 {map50_95:.3f}")
                validated = epoch
    return last_line


def _stop(process: subprocess.Popen[str]) -> None:
    """See that a process has ended, whatever made us stop listening to it."""
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _models(weights: Path, tflite: Path) -> list[tuple[str, Path]]:
    return [("float", weights), ("int8", tflite)]


def _figures(report: Report) -> dict[str, float]:
    return {"map50": round(report.map50, 4), "map50_95": round(report.map50_95, 4)}


def _comparison(data: Path, weights: Path, tflite: Path) -> np.ndarray:
    """A row for each of the first validation images: ground truth, float and int8."""
    dataset = load_dataset(data)
    files = dataset.images("val")[:PICTURES]
    predictors = [(kind, load_predictor(file)) for kind, file in _models(weights, tflite)]
    rows = []
    for file, truth in zip(files, ground_truth(dataset, files), strict=True):
        image = read_image(file)
        found = [(kind, detect(run, image, confidence=0.25, iou=0.45)) for kind, run in predictors]
        boxes = [("ground truth", truth), *found]
        rows.append(side_by_side([(kind, draw(image, box, dataset.names)) for kind, box in boxes]))
    return np.concatenate(rows)


def _summarize(out: Path, results: dict[str, Any], console: Console) -> None:
    files = {what: out / file for what, file in results["files"].items()}
    console.print()
    for kind in ("float", "int8"):
        figures = results[kind]
        console.print(f"{kind:<9} mAP50 {figures['map50']:.3f}, mAP50-95 {figures['map50_95']:.3f}")
    console.print(f"{'chip':<9} {results['chip']['verdict']}", soft_wrap=True)
    console.print(
        f"{'model':<9} {files['tflite']}, quantized from {files['weights']}", soft_wrap=True
    )
    console.print(f"{'picture':<9} {files['picture']}", soft_wrap=True)
    console.print(f"{'figures':<9} {out / 'results.json'}", soft_wrap=True)
