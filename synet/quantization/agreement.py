"""How far two forms of a model are apart, on the same images.

Each output is compared in the unit that says what a difference is worth: pixels as a fraction of
the image, radians as one of a half-turn, probabilities as they are. Coefficients and prototypes
have no unit: what counts is the masks that they make together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.system.errors import VerificationError

if TYPE_CHECKING:
    from torch import nn

# From an image to what was found in it, by output name; see `synet.layers.heads.HeadForm`.
Runner = Callable[[np.ndarray], dict[str, np.ndarray]]
MASKS = 64  # rows of an image, the best ones, whose masks are compared


@dataclass(frozen=True)
class Agreement:
    """How far two models are apart.

    Parameters
    ----------
    scores
        Difference of the outputs of 0-1: the worst of scores, probabilities, presence, masks and
        angles.
    boxes
        Of the outputs in pixels, as a fraction of the longer side: the worst of the corners,
        sides and keypoints. 0 where there are none.
    rows
        How many values of the scores, or probabilities, were compared.
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


def compare_outputs(
    images: Sequence[np.ndarray],
    reference: Runner,
    other: Runner,
    shape: tuple[int, int],
    reduce: Callable[[Any], float],
    confident: float = 0.0,
) -> Agreement:
    """Reduce the differences over the rows that `reference` scores at least `confident`.

    Of a classifier every image counts.

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
        sure = _sure(expected, confident)
        expected, found = (_in_units(each, sure, max(shape), PIXELS) for each in (expected, found))
        for name, values in expected.items():
            apart.setdefault(name, []).append(np.abs(values - found[name]).ravel())
    joined = {name: np.concatenate(parts) for name, parts in apart.items()}
    worst = {name: float(reduce(parts)) if parts.size else 0.0 for name, parts in joined.items()}
    return Agreement(
        scores=max(difference for name, difference in worst.items() if name not in PIXELS),
        boxes=max((difference for name, difference in worst.items() if name in PIXELS), default=0),
        rows=joined["scores" if "scores" in joined else "probabilities"].size,
    )


def _sure(outputs: dict[str, np.ndarray], confident: float) -> np.ndarray:
    """Numbers of the rows that are scored at least `confident`, the best first."""
    if "scores" not in outputs:
        return np.arange(0)
    best = outputs["scores"][0].max(-1)
    order = np.argsort(-best, kind="stable")
    return order[best[order] >= confident]


def _in_units(
    outputs: dict[str, np.ndarray], rows: np.ndarray, side: int, pixels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Some rows of the outputs, in comparable units, with masks for what makes them."""
    picked = {name: values[0] for name, values in outputs.items()}
    prototypes = picked.pop("prototypes", None)
    if "scores" in picked:
        picked = {name: values[rows] for name, values in picked.items()}
    for name in picked.keys() & {*pixels}:
        picked[name] = picked[name] / side
    if "angle" in picked:
        picked["angle"] = picked["angle"] / np.pi
    if prototypes is not None:
        flat = prototypes.reshape(-1, prototypes.shape[-1])
        logits = picked.pop("coefficients")[:MASKS] @ flat.T
        picked["masks"] = 1 / (1 + np.exp(-logits.clip(-30, 30)))
    return picked
