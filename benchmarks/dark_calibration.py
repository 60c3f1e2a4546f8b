"""Blood cells: what a calibration split that is darker than the camera's images costs.

Quantizes a checkpoint on the test split as it is, and on copies of it that are darkened, and
evaluates every file on the val split. A training of a minute is enough; the bar is 1 point of
mAP50.

    synet ultralytics train model=sabre-detect-qvga.yaml data=bccd.yaml imgsz=160 epochs=10
    python benchmarks/dark_calibration.py runs/detect/train/weights/best.pt --image-shape 128 160

The data set is found through ``SYNET_SHARED``, by default ``../shared``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from synet.data.images import read_image, write_image
from synet.data.yolo_yaml import load_dataset
from synet.evaluation.evaluate import evaluate
from synet.quantize import quantize_checkpoint
from synet.system.errors import SynetError

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SYNET_SHARED", HERE.parents[1] / "shared"))
BAR = 1.0  # points of mAP50


def darkened(data: Path, factor: float, folder: Path) -> Path:
    """A folder of the calibration images of a data set, each times `factor`."""
    dataset = load_dataset(data)
    for file in dataset.images(dataset.calibration_split()):
        pixels = np.rint(read_image(file) * factor).astype(np.uint8)
        write_image(folder / "test" / f"{file.stem}.png", pixels)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--image-shape", type=int, nargs=2, default=None, metavar=("H", "W"))
    parser.add_argument("--factors", type=float, nargs="+", default=[0.45])
    options = parser.parse_args()
    data = SHARED / "data" / "bccd" / "bccd.yaml"
    print("| calibrated on | mAP50 | points lost |\n| --- | --- | --- |")
    bright = None
    with tempfile.TemporaryDirectory() as place:
        for factor in (1.0, *options.factors):
            folder = darkened(data, factor, Path(place, str(factor)))
            out = folder / "best.tflite"
            try:
                quantize_checkpoint(
                    options.weights,
                    folder,
                    image_shape=options.image_shape and tuple(options.image_shape),
                    out_path=out,
                    progress=False,
                )
            except SynetError as error:
                print(f"| x {factor:g} | refused: {error} | |")
                continue
            map50 = evaluate(out, data, "val", progress=False).map50
            bright = map50 if bright is None else bright
            lost = 100 * (bright - map50)
            print(f"| x {factor:g} | {map50:.4f} | {lost:+.2f} (bar {BAR:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
