"""Data sets of noise: images that show nothing, made in no time."""

from __future__ import annotations

import cv2
import numpy as np


def dataset(folder, **splits):
    random = np.random.default_rng(0)
    lines = ["names: [thing, other]", "train: val"]
    for split, count in splits.items():
        (folder / split / "images").mkdir(parents=True)
        for i in range(count):
            image = random.integers(0, 255, (30, 40, 3), np.uint8)
            cv2.imwrite(str(folder / split / "images" / f"{i}.png"), image)
        lines.append(f"{split}: {split}/images")
    path = folder / "data.yaml"
    path.write_text("\n".join(lines).replace("train: val", "train: val/images"))
    return path
