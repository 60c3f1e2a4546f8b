"""What is measured of models on data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synet.evaluation.curves import Matches, Score, joined
from synet.tflite.kernels import Kernels

ALL = "all data sets"
PREDICTIONS = "predictions"  # what to call the unknown model of predictions that are read
RIGHT_IOU = 0.5  # the overlap at which what is found counts as right: the first of COCO's


@dataclass(frozen=True, eq=False)
class Performance:
    """What a model does on one data set, or on all of them together.

    Attributes
    ----------
    data
        What the data is called.
    images
        How many images it has.
    classes
        The classes that can be judged here: the model finds them, and the data names them.
    precision
        Average precision of each class, float64 ``(classes, 2)``: at IoU 0.50, and the mean over
        IoU 0.50 to 0.95. NaN for a class that no label shows.
    matches
        Of each class what was found, matched at IoU 0.50.
    confusion
        As of `synet.evaluation.confusion.confusion_matrix`, ``(classes + 1, classes + 1)``.
    """

    data: str
    images: int
    classes: tuple[str, ...]
    precision: np.ndarray
    matches: tuple[Matches, ...]
    confusion: np.ndarray

    @property
    def labels(self) -> int:
        """How many labelled boxes there are, of all classes."""
        return sum(each.labels for each in self.matches)

    @property
    def mean_precision(self) -> tuple[float, float]:
        """mAP50 and mAP50-95: the mean over the classes that a label shows; NaN if none does."""
        shown = self.precision[~np.isnan(self.precision[:, 0])]
        map50, map50_95 = shown.mean(axis=0) if len(shown) else (np.nan, np.nan)
        return float(map50), float(map50_95)

    @property
    def pooled(self) -> Matches:
        """What was found of all classes as one."""
        return joined(self.matches)

    def above(self, threshold: float) -> tuple[Score, tuple[Score, ...]]:
        """What is found with a confidence above `threshold`: all of it, and of each class."""
        return self.pooled.above(threshold), tuple(each.above(threshold) for each in self.matches)


@dataclass(frozen=True)
class Threshold:
    """A confidence chosen on all data sets together, over the finds of all classes.

    Attributes
    ----------
    precision
        The precision that was asked for; None for the threshold of the best F1.
    confidence
        What is found with a confidence above it counts; None where the precision is not reached.
    best
        The highest precision of all thresholds; NaN if nothing was found.
    """

    precision: float | None
    confidence: float | None
    best: float

    def __str__(self) -> str:
        return "best F1" if self.precision is None else f"precision {self.precision:g}"


@dataclass(frozen=True, eq=False)
class ModelMetrics:
    """What one model does on each data set and on all of them, and the thresholds to use it at.

    Attributes
    ----------
    model
        Its file; for predictions that were read, `PREDICTIONS`.
    name
        As much of that as tells the models apart.
    sets, together
        What it does on each data set, and on all of them.
    thresholds
        One for each precision that was asked for, and that of the best F1.
    kernels
        What a TFLite file ran on, see `synet.tflite.kernels`; None of all else.
    """

    model: str
    name: str
    sets: tuple[Performance, ...]
    together: Performance
    thresholds: tuple[Threshold, ...]
    kernels: Kernels | None = None

    @property
    def shown(self) -> tuple[Performance, ...]:
        """Each data set, and all together where there are several."""
        return (*self.sets, self.together) if len(self.sets) > 1 else self.sets


@dataclass(frozen=True, eq=False)
class Metrics:
    """What models do on data sets.

    Attributes
    ----------
    data
        The data yamls.
    split
        The split of each.
    confidence
        What is found with a confidence above it is in the confusion matrices.
    models
        A model each, or one for predictions that were read.
    folder
        Where the files are that tell all this; None if none were asked for.
    """

    data: tuple[Path, ...]
    split: str
    confidence: float
    models: tuple[ModelMetrics, ...]
    folder: Path | None = None
