"""A detector that finds blobs of plain colours, data sets of such, and pycocotools on files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import yaml
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from synet.data.images import write_image
from synet.data.yolo_yaml import label_path
from synet.detections.detections import Detections

COLOURS = ("red", "green", "blue")


class ColourDetector:
    """A detector that works: a blob of a pure colour is an object, its brightness the score."""

    image_shape = (96, 128)
    channels = 3
    task = "detect"
    batch = 2
    at_once = 2
    kernels = None

    def __init__(
        self, names: tuple[str, ...] = COLOURS, shift: float = 0.0, gain: float = 1.0
    ) -> None:
        self.names = names
        self.shift = shift
        self.gain = gain

    def outputs_of(self, images):
        assert 0 < len(images) <= self.batch
        return [self.outputs(image) for image in images]

    def outputs(self, image):
        boxes, scores = [], []
        for class_id in range(len(self.names)):
            others = np.delete(image, class_id, axis=-1).max(axis=-1)
            mask = (image[..., class_id] > others.astype(int) + 50).astype(np.uint8)
            for x, y, width, height, _ in cv2.connectedComponentsWithStats(mask)[2][1:]:
                boxes.append([x, y, x + width, y + height])
                scores.append(
                    np.eye(len(self.names))[class_id] * image[y, x, class_id] / 255 * self.gain
                )
        corners = np.array(boxes, np.float32).reshape(-1, 4) + self.shift
        return {
            "x1y1": corners[:, :2],
            "x2y2": corners[:, 2:],
            "scores": np.array(scores, np.float32).reshape(-1, len(self.names)),
        }


def make_dataset(folder: Path, scenes: list[list[tuple]], names=COLOURS) -> Path:
    """One 96x128 image a scene of (class, x, y, width, height[, brightness[, labelled]])."""
    for number, scene in enumerate(scenes):
        image = np.zeros((96, 128, 3), np.uint8)
        lines = []
        for class_id, x, y, width, height, *rest in scene:
            brightness, labelled = (*rest, *(255, True)[len(rest) :])
            image[y : y + height, x : x + width, class_id] = brightness
            if labelled:
                box = (x + width / 2) / 128, (y + height / 2) / 96, width / 128, height / 96
                lines.append(" ".join(map(str, (class_id, *box))))
        path = write_image(folder / "images" / "val" / f"{number}.png", image)
        label_path(path).parent.mkdir(parents=True, exist_ok=True)
        label_path(path).write_text("\n".join(lines))
    data = folder / "data.yaml"
    data.write_text(yaml.safe_dump({"val": "images/val", "names": list(names)}))
    return data


def evaluation_of_files(truth: dict, results: list[dict], folder: Path) -> COCOeval:
    """What pycocotools, left all its settings, makes of COCO's json files of such content."""
    for name, content in (("truth", truth), ("results", results)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    coco = COCO(str(folder / "truth.json"))
    score = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
    score.evaluate()
    score.accumulate()
    score.summarize()
    return score


def random_images(rng: np.random.Generator, crowd: int) -> tuple[list, list]:
    """Labels of three classes, and detections that hit, miss, repeat and confuse them."""
    labels, found = [], []
    for count in (0, 1, 5, 12, crowd):
        corner = rng.uniform(0, 400, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 200, (count, 2))], axis=1)
        classes = rng.integers(0, 3, count)
        labels.append(Detections(boxes, np.ones(count), classes))
        picks = rng.integers(0, count, 2 * count) if count else np.zeros(0, int)
        jitter = rng.normal(0, 4, (len(picks), 4))
        hits = np.concatenate([boxes[picks] + jitter, rng.uniform(0, 1, (3, 4)) + [0, 0, 50, 50]])
        guess = np.concatenate([classes[picks], rng.integers(0, 3, 3)])
        found.append(Detections(hits, rng.random(len(hits)).round(2), guess))
    return labels, found
