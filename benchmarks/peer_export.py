"""YOLOv8n, exported by ultralytics and by SyNet: cycles, memory, time, side by side in one run.

Ultralytics exports its own ``yolov8n.yaml`` to LiteRT with int8 weights and activations
(``format=litert quantize=8``); SyNet exports the same yaml under the patch. Both are untrained,
both calibrate on the same images, both files go through Vela for the same chip. The exports
alternate, each in a process of its own; time is that of the whole process, memory the peak until
its file is written.

    python benchmarks/peer_export.py [--runs 5] [--data DATA.yaml] [--peer PYTHON] [--cfg YAML]

Ultralytics' export needs the package litert-torch, which wants a torch of its own: name the Python
of another environment with ``--peer`` if it is not in this one. Without ``--data``, the val images
of coco128 are used, found through ``SYNET_SHARED`` (by default ``../shared``), or drawn ones where
they are absent.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from synet.chips import get_chip
from synet.data.drawn_shapes import draw_dataset
from synet.data.yolo_yaml import resolved_yaml
from synet.verdict.vela import Compiled, compile_for

SHARED = Path(os.environ.get("SYNET_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SHAPE = (256, 320)
PEAK = """
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
PEER = """
import sys
from ultralytics import YOLO
cfg, data, height, width = sys.argv[1:]
YOLO(cfg, task="detect").export(
    format="litert", quantize=8, imgsz=(int(height), int(width)), data=data
)
"""
OURS = """
import sys
from synet.cli import main
cfg, data, height, width = sys.argv[1:]
options = ["--backend", "ultralytics", "--cfg", cfg, "--data", data, "--chip", "sabre"]
main(["quantize", *options, "--image-shape", height, width], standalone_mode=False)
"""
# What is compared, of how much of the peer's it may be at most.
BARS = {"cycles, M": 0.65, "SRAM, KiB": 0.45, "wall time, s": 1.0, "peak memory, MiB": 1.0}


@dataclass(frozen=True)
class Export:
    """One run: its file, what it took."""

    content: bytes
    seconds: float
    peak_kib: int


def export(python: str, code: str, arguments: list[str]) -> Export:
    """Run one export in an empty folder, and take the file that it leaves there."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "YOLO_CONFIG_DIR": folder, "YOLO_AUTOINSTALL": "false"}
        command = [python, "-c", code + PEAK, *arguments]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{python}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        files = sorted(Path(folder).rglob("*.tflite"), key=lambda file: "int8" not in file.name)
        return Export(files[0].read_bytes(), seconds, int(done.stdout.split()[-1]))


def figures(runs: list[Export], compiled: Compiled) -> dict[str, float]:
    """The medians of the runs, and what Vela says of the file."""
    return {
        "cycles, M": compiled.cycles / 1e6,
        "SRAM, KiB": compiled.sram_bytes / 1024,
        "operations on the CPU": len(compiled.on_cpu),
        "wall time, s": statistics.median(run.seconds for run in runs),
        "peak memory, MiB": statistics.median(run.peak_kib for run in runs) / 1024,
    }


def data_of(given: Path | None, folder: Path) -> Path:
    """A data yaml whose paths are absolute, on a copy: ultralytics writes caches beside labels."""
    source = given or SHARED / "data" / "coco128" / "coco128.yaml"
    if not source.is_file():
        return draw_dataset(folder / "data", train=8, val=128, test=0)
    shutil.copytree(source.parent, folder / "data", copy_function=shutil.copyfile)
    return resolved_yaml(folder / "data" / source.name, folder / "data" / "absolute.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peer", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--cfg", default="yolov8n.yaml")
    given = parser.parse_args()
    peers: list[Export] = []
    ours: list[Export] = []
    with tempfile.TemporaryDirectory() as folder:
        data = data_of(given.data, Path(folder))
        arguments = [given.cfg, str(data), *map(str, SHAPE)]
        for _ in range(given.runs):
            peers.append(export(given.peer, PEER, arguments))
            ours.append(export(sys.executable, OURS, arguments))
    chip = get_chip("sabre")
    theirs, own = (figures(runs, compile_for(runs[0].content, chip)) for runs in (peers, ours))
    print(f"| {given.cfg} at {SHAPE[0]}x{SHAPE[1]} | ultralytics | SyNet | ratio | bar |")
    print("| --- | --- | --- | --- | --- |")
    for name, value in theirs.items():
        ratio = f"{own[name] / value:.3f}" if name in BARS else ""
        bar = f"{BARS[name]:.2f}" if name in BARS else "0"
        digits = 0 if name == "operations on the CPU" else 2
        print(f"| {name} | {value:.{digits}f} | {own[name]:.{digits}f} | {ratio} | {bar} |")


if __name__ == "__main__":
    main()
