"""Patch time: what the two lines add to a fork's own imports, in seconds of the processor.

    python benchmarks/patch_time.py [--runs 7]

Each run is a process of its own that imports torch, then the modules that build models and draw
plots, with the two lines before them and without. YOLOv5 as installed imports modules that
today's setuptools lacks, so that its bare runs get the repairs, outside of what is timed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

FORKS = {
    "yolov5": ("yolov5.models.yolo", "yolov5.utils.plots"),
    "ultralytics": ("ultralytics.nn.tasks", "ultralytics.utils.plotting"),
}
BARE = """
from synet.patches.repairs.libraries import apply_library_repairs
from synet.patches.undo import Applied
apply_library_repairs(Applied())
"""
PATCHED = """
from synet.custom_patches import patch_custom
patch_custom("katana")
"""
CODE = """
import importlib, sys, time
import torch, matplotlib.pyplot, PIL.ImageFont
{untimed}
start = time.process_time()
{timed}
for name in sys.argv[1:]:
    importlib.import_module(name)
print(time.process_time() - start)
"""


def seconds(modules: tuple[str, ...], patched: bool) -> float:
    parts = {"timed": PATCHED, "untimed": ""} if patched else {"timed": "", "untimed": BARE}
    command = [sys.executable, "-c", CODE.format(**parts), *modules]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    print("| fork | imports alone, s | with the two lines, s | added, s (bar 0.3) |")
    print("| --- | --- | --- | --- |")
    for fork, modules in FORKS.items():
        pairs = [(seconds(modules, False), seconds(modules, True)) for _ in range(runs)]
        bare, patched = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"| {fork} | {bare:.2f} | {patched:.2f} | {patched - bare:.2f} |")


if __name__ == "__main__":
    main()
