"""Small drawn data sets of every task: black images of many shapes, each with one white mark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

IMAGES = ((64, 160), (200, 80), (90, 90), (40, 300), (128, 320), (50, 60))  # height, width
TASKS = ("detect", "segment", "obb", "pose")


def draw(folder: Path, task: str) -> Path:
    """Write a data set of `task`, the same images for training and validation; its yaml.

    The label of a mark is its box, its corners, or its box and centre.
    """
    random = np.random.default_rng(0)
    for index, (height, width) in enumerate(IMAGES):
        image = np.zeros((height, width, 3), np.uint8)
        h, w = height // 3, width // 3
        top, left = int(random.integers(0, height - h)), int(random.integers(0, width - w))
        cv2.rectangle(image, (left, top), (left + w - 1, top + h - 1), (255, 255, 255), -1)
        for part in ("images", "labels"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        x0, x1, y0, y1 = left / width, (left + w) / width, top / height, (top + h) / height
        place = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
        if task in ("segment", "obb"):
            place = [x0, y0, x1, y0, x1, y1, x0, y1]
        elif task == "pose":
            place += [*place[:2], 2]
        line = " ".join(map(str, [0, *place]))
        (folder / "labels" / f"{index}.txt").write_text(line + "\n")
    data = folder / "data.yaml"
    text = "path: .\ntrain: images\nval: images\nnames: [mark]\n"
    data.write_text(text + ("kpt_shape: [1, 3]\nflip_idx: [0]\n" if task == "pose" else ""))
    return data


def draw_classes(folder: Path) -> Path:
    """Write a data set for a classifier: dark images and light ones, a folder each."""
    for split in ("train", "val"):
        for name, value in (("dark", 40), ("light", 220)):
            (folder / split / name).mkdir(parents=True)
            for index, shape in enumerate(IMAGES[:3]):
                image = np.full((*shape, 3), value, np.uint8)
                cv2.imwrite(str(folder / split / name / f"{index}.png"), image)
    return folder
