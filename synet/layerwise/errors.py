"""How far the layers of an int8 file are from the float ones, in numbers that can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

AUDIBLE = 2.0  # steps that tell a value from rounding
FAINT = 1e-3  # share of a layer's values that must be audible for it to be judged


@dataclass(frozen=True)
class Closeness:
    """How close int8 values are to the float ones that they stand for, over all images.

    Parameters
    ----------
    sqnr_db
        Signal to quantization noise, ``10 log10(sum float^2 / sum (int8 - float)^2)``: at 20 dB the
        difference is a tenth of the signal, at 40 dB a hundredth. ``inf`` where there is none,
        ``-inf`` where there is nothing else.
    cosine
        Of the angle between the two: 1 is the same direction. Two signals of zero have the same.
    largest
        Largest difference of a value, in the unit of the tensor.
    """

    sqnr_db: float
    cosine: float
    largest: float = 0.0


@dataclass(frozen=True)
class LayerError:
    """What int8 loses in a layer: in one tensor that an operation of it writes.

    Parameters
    ----------
    layer
        Module path in the network that the file was exported from; ``input`` for the image.
    op
        TFLite operation; ``INPUT`` for the image. A layer may take several, each counted.
    shape
        Of the tensor, NHWC.
    own
        What this operation adds, given inputs that are as good as int8 can hold them.
    accumulated
        What has come together here in the running int8 file.
    read
        What the convolutions that read the tensor lose by its being rounded to int8, in the worst
        of them: one loud channel leaves few levels for the others. None where there are none.
    step
        What one level of the int8 tensor is worth. Rounding makes errors of half a step; larger
        own ones come of values beyond the range of the tensor, or of weights. 0 of a tensor that
        is not quantized.
    audible
        Share of the float values that reach two steps.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    own: Closeness
    accumulated: Closeness
    read: Closeness | None = None
    step: float = 0.0
    audible: float = 1.0

    @property
    def lost_db(self) -> float:
        """What this layer is to blame for: the own error, as it is written or as it is read."""
        return min(self.own.sqnr_db, self.read.sqnr_db if self.read else math.inf)

    @property
    def is_faint(self) -> bool:
        """Do the images hardly speak to this layer, so that its errors say little of it?

        Such are the scores of a class, or of a size of box, that is on next to none of them.
        """
        return self.audible < FAINT


@dataclass(frozen=True)
class Comparison:
    """The errors of all layers, over some images.

    Parameters
    ----------
    layers
        In order of execution; the image is the first.
    images
        What both files saw.
    outputs
        Accumulated error of each output of the file, by its name.
    reference_kernels
        Whether the int8 file ran on those, as long as they run it.
    """

    layers: tuple[LayerError, ...]
    images: tuple[Path, ...]
    outputs: dict[str, Closeness] = field(default_factory=dict)
    reference_kernels: bool = True

    def worst(self) -> list[tuple[int, LayerError]]:
        """The layers and their numbers in the order of execution: worst own error first.

        Faint ones are the last.
        """

        def badness(at: tuple[int, LayerError]) -> tuple[bool, float, float]:
            error = at[1]
            return error.is_faint, error.lost_db, error.accumulated.sqnr_db

        return sorted(enumerate(self.layers), key=badness)

    def records(self) -> list[dict[str, Any]]:
        """A flat record for each layer, worst first, of what CSV and JSON can hold."""
        return [_record(number, error) for number, error in self.worst()]

    def verdict(self) -> str:
        """One line: how good the outputs are, and which layer loses most."""
        number, worst = self.worst()[0]
        outputs = [f"{name} {decibels(each.sqnr_db, ' dB')}" for name, each in self.outputs.items()]
        fast = "" if self.reference_kernels else " and the fast kernels"
        return (
            f"{len(self.layers)} layers on {_plural(len(self.images), 'image')}{fast}: outputs "
            f"{', '.join(outputs)}; most is lost in {worst.layer} ({worst.op}, number {number}): "
            f"{decibels(worst.lost_db, ' dB')}"
        )


class Sums:
    """What the closeness of two signals follows from, over any number of images.

    Parameters
    ----------
    limits
        Values beyond one of the two count as it.
    """

    def __init__(self, limits: tuple[float, float] = (-math.inf, math.inf)) -> None:
        self._limits = limits
        self._exact = self._found = self._product = self._noise = self._largest = 0.0

    def add(self, exact: np.ndarray, found: np.ndarray) -> None:
        """Count a tensor of one image: float values, and those that stand for them in int8."""
        exact, found = (values.astype(np.float32, copy=False).ravel() for values in (exact, found))
        if any(map(math.isfinite, self._limits)):
            exact, found = (x.clip(*self._limits) for x in (exact, found))
        difference = found - exact
        self._exact += float(exact @ exact)
        self._found += float(found @ found)
        self._product += float(exact @ found)
        self._noise += float(difference @ difference)
        self._largest = max(self._largest, float(np.abs(difference).max(initial=0)))

    def closeness(self) -> Closeness:
        """Of all that was counted."""
        lengths = math.sqrt(self._exact * self._found)
        cosine = self._product / lengths if lengths else float(self._exact == self._found)
        return Closeness(_ratio_db(self._exact, self._noise), min(cosine, 1.0), self._largest)


def _ratio_db(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _record(number: int, error: LayerError) -> dict[str, Any]:
    record = {
        "number": number,
        "layer": error.layer,
        "op": error.op,
        "shape": "x".join(map(str, error.shape)),
        "step": error.step,
        "audible": error.audible,
        "faint": error.is_faint,
        "lost_db": _json(error.lost_db),
    }
    for kind in ("own", "read", "accumulated"):
        each: Closeness | None = getattr(error, kind)
        record[f"{kind}_sqnr_db"] = _json(each.sqnr_db) if each else None
        record[f"{kind}_cosine"] = each.cosine if each else None
        if each and kind != "read":  # which is of another tensor
            record[f"{kind}_largest"] = each.largest
    return record


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no number for infinity


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def decibels(value: float, unit: str = "") -> str:
    """A ratio in words: `exact` where there is no noise."""
    return "exact" if value == math.inf else f"{value:.1f}{unit}"
