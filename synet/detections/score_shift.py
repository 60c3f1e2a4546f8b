"""How far quantizing a detector shifted its scores: what no average precision shows.

An application asks for objects above a confidence. Precision stays as it was where all scores
sink alike, and the application then finds less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synet.detections.detections import Detections, overlaps
from synet.detections.matching import match

SURE = 0.25  # a float model is asked of what it finds with such a score or a higher one


@dataclass(frozen=True)
class Shift:
    """How far an int8 model's scores lie from its float twin's.

    Attributes
    ----------
    mean
        Mean absolute difference of the scores of objects that both find; NaN where there is none.
    matched, objects
        How many that are, of how many that the twin finds.
    twin
        The float model.
    """

    mean: float
    matched: int
    objects: int
    twin: str = "float"

    def __str__(self) -> str:
        of = f"of the {self.objects} objects that {self.twin} finds"
        if not self.matched:
            return f"confidence shift unknown (none {of} is found)"
        return f"confidence shift {self.mean:.4f} (mean of {self.matched} {of})"


def float_twin(model: str | Path) -> Path | None:
    """The checkpoint beside a ``.tflite`` file, of which `synet quantize` makes it; or None.

    That of ``best-random.tflite``, made without data, is ``best.pt``.
    """
    file = Path(model)
    twins = (
        file.with_name(f"{name}.pt") for name in (file.stem, file.stem.removesuffix("-random"))
    )
    return next(filter(Path.is_file, twins), None) if file.suffix == ".tflite" else None


def confidence_shift(
    compared: Iterable[tuple[Detections, Detections]], iou: float = 0.5, confidence: float = SURE
) -> Shift:
    """How far scores lie from those of a reference, for the objects that both find.

    What is found is matched as in the count of an average precision: the highest score first, each
    with the object of its class in the reference that it overlaps most, if nothing has it yet.

    Parameters
    ----------
    compared
        For each image what was found, at a low confidence, and what the reference finds.
    iou
        The least overlap of a match.
    confidence
        Objects are what the reference finds with such a score or a higher one.
    """
    differences, objects = [], 0
    for found, reference in compared:
        reference = reference[reference.scores >= confidence]
        objects += len(reference)
        shared = overlaps(found.boxes, reference.boxes)
        shared[found.classes[:, None] != reference.classes[None]] = 0
        rows, columns = match(shared, found.scores, iou)
        differences += np.abs(found.scores[rows] - reference.scores[columns]).tolist()
    mean = float(np.mean(differences)) if differences else float("nan")
    return Shift(mean, len(differences), objects)
