"""Prediction files as YOLO writes them, of a detector that is right, wrong, double and unsure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synet.data.yolo_yaml import load_dataset, read_labels


def write(yaml: str | Path, folder: Path, split: str = "val", seed: int = 0) -> Path:
    """Write ``labels/*.txt`` in `folder` for a split, and return `folder`."""
    rng = np.random.default_rng(seed)
    dataset = load_dataset(yaml)
    count = len(dataset.names)
    (folder / "labels").mkdir(parents=True)
    for image in dataset.images(split):
        lines = []
        for class_id, *box in read_labels(image, count).tolist():
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                place = np.array(box) + np.tile(box[2:], 2) * rng.normal(0, 0.06, 4)
                guess = class_id if rng.random() < 0.85 else rng.integers(count)
                lines.append((guess, *place.clip(0, 1), rng.beta(5, 2)))
        for _ in range(rng.integers(0, 4)):
            lines.append((rng.integers(count), *rng.uniform(0.1, 0.5, 4), rng.beta(1, 4)))
        if lines:
            text = "".join(" ".join(f"{number:g}" for number in line) + "\n" for line in lines)
            (folder / "labels" / f"{image.stem}.txt").write_text(text)
    return folder
