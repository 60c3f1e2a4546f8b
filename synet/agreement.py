"""How far two forms of a detector are apart, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.errors import VerificationError

if TYPE_CHECKING:
    import keras
    from torch import nn

# From an image to what was found in it, by output name; see `synet.layers.heads.HeadForm`.
Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Agreement:
    """How far two models are apart.

    Parameters
    ----------
    scores
        Difference of the outputs of 0-1: the worst of scores, presence and angles.
    boxes
        Of the outputs in pixels, as a fraction of the longer side: the worst of the corners
        and keypoints.
    rows
        How many values of the scores were compared.
    """

    scores: float
    boxes: float
    rows: int


def torch_runner(network: nn.Module) -> Runner:
    """Run a YOLO on float32 (H, W, C) images, decoded by its own head, outputs as exported.

    Raises
    ------
    SynetError
        Its head is none that SyNet knows.
    """
    import torch

    from synet.layers.heads import find_head, run_network

    find_head(network)

    def run_one(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = run_network(network, torch.from_numpy(image).permute(2, 0, 1)[None])
        return {name: values.numpy() for name, values in outputs.items()}

    return run_one


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
    """Reduce the differences over the rows that `reference` scores at least `confident`.

    Raises
    ------
    VerificationError
        They do not have the same outputs, or not as many rows.
    """
    from synet.layers.heads import PIXELS

    apart: dict[str, list[np.ndarray]] = {}
    for image in images:
        expected, found = reference(image), other(image)
        shapes = [
            {name: values.shape for name, values in each.items()} for each in (expected, found)
        ]
        if shapes[0] != shapes[1]:
            raise VerificationError(f"the outputs are {shapes[1]}, expected {shapes[0]}")
        sure = expected["scores"].max(-1) >= confident
        for name, values in expected.items():
            apart.setdefault(name, []).append(np.abs(values - found[name])[sure].ravel())
    joined = {name: np.concatenate(parts) for name, parts in apart.items()}
    rows = joined["scores"].size
    worst = {name: float(reduce(parts)) if rows else 0.0 for name, parts in joined.items()}
    pixels = max(difference for name, difference in worst.items() if name in PIXELS)
    return Agreement(
        scores=max(difference for name, difference in worst.items() if name not in PIXELS),
        boxes=pixels / max(shape),
        rows=rows,
    )
