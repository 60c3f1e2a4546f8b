"""How far two forms of a detector are apart, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from torch import nn

# From an image to boxes and scores, by output name.
Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Agreement:
    """How far two models are apart: scores 0-1, boxes as a fraction of the longer side."""

    scores: float
    boxes: float
    rows: int


def torch_runner(network: nn.Module) -> Runner:
    """Run a YOLOv5 network on float32 (H, W, C) images, with outputs as the export has them."""
    import torch

    head = network.model[-1]

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            predictions, raw = network(torch.from_numpy(image).permute(2, 0, 1)[None])
        return {k: v.numpy() for k, v in head.as_exported(predictions, raw).items()}

    return run


def keras_runner(keras_model: keras.Model) -> Runner:
    """Run a Keras model with named outputs on float32 (H, W, C) images."""

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        return {k: np.asarray(v) for k, v in keras_model(image[None], training=False).items()}

    return run


def compare(
    images: Sequence[np.ndarray],
    reference: Runner,
    other: Runner,
    shape: tuple[int, int],
    reduce: Callable[[Any], float],
    confident: float = 0.0,
) -> Agreement:
    """Reduce the differences over the rows that `reference` scores at least `confident`."""
    scores, boxes = [], []
    for image in images:
        expected, found = reference(image), other(image)
        sure = expected["scores"].max(-1) >= confident
        scores.append(np.abs(expected["scores"] - found["scores"])[sure].ravel())
        for corner in ("x1y1", "x2y2"):
            boxes.append(np.abs(expected[corner] - found[corner])[sure].ravel() / max(shape))
    all_scores, all_boxes = np.concatenate(scores), np.concatenate(boxes)
    if not all_scores.size:
        return Agreement(0.0, 0.0, 0)
    return Agreement(float(reduce(all_scores)), float(reduce(all_boxes)), all_scores.size)
