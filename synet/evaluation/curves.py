"""How precision and recall move with the confidence that is asked for.

What is found is matched with the labels by pycocotools, as for an average precision, so that the
area under a curve is that average precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

RECALLS = np.linspace(0, 1, 101)  # where COCO reads a curve


@dataclass(frozen=True, eq=False)
class Matches:
    """What was found, of one class or of several, and which of it is right.

    Attributes
    ----------
    confidence
        float64 ``(n,)``, descending.
    right
        bool ``(n,)``: matched with a label that nothing of higher confidence had.
    labels
        How many labels there are to be found.
    """

    confidence: np.ndarray
    right: np.ndarray
    labels: int

    def above(self, threshold: float) -> Score:
        """How good is what was found with a confidence above `threshold`."""
        found = int((self.confidence > threshold).sum())
        return Score(self.labels, found, int(self.right[:found].sum()))

    @property
    def curve(self) -> Curve:
        """Precision and recall from the highest confidence down."""
        right = np.cumsum(self.right, dtype=np.float64)
        recall = right / self.labels if self.labels else np.full(len(right), np.nan)
        return Curve(self.confidence, right / np.arange(1, len(right) + 1), recall)


@dataclass(frozen=True)
class Score:
    """How many labels there are, how much was found, and how much of that is right."""

    labels: int
    found: int
    right: int

    @property
    def precision(self) -> float:
        """How much of what was found is right; NaN if nothing was found."""
        return self.right / self.found if self.found else math.nan

    @property
    def recall(self) -> float:
        """How many of the labels were found; NaN if there are none."""
        return self.right / self.labels if self.labels else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if there is neither label nor find."""
        both = self.labels + self.found
        return 2 * self.right / both if both else math.nan


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of what was found, from the highest confidence down to each.

    One point for each box found, so several points may share a confidence: a threshold there takes
    all of them or none. `thresholds` has one point for each confidence.

    Attributes
    ----------
    confidence
        float64 ``(n,)``, descending.
    precision, recall
        float64 ``(n,)``, 0-1. Recall is NaN where no label shows the class.
    """

    confidence: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, ``(n,)``; NaN where no label shows the class."""
        both = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, both, out=both * 0, where=both != 0)

    @property
    def thresholds(self) -> Curve:
        """The last of the points that share a confidence: all that is found from it upwards."""
        last = np.append(self.confidence[1:] < self.confidence[:-1], True)[: len(self.confidence)]
        return Curve(self.confidence[last], self.precision[last], self.recall[last])

    def interpolated(self) -> np.ndarray:
        """The best precision at or beyond each of COCO's 101 recalls, float64 ``(101,)``.

        Their mean is the average precision; NaN where no label shows the class.
        """
        if np.isnan(self.recall).any():
            return np.full(len(RECALLS), np.nan)
        best = np.append(np.maximum.accumulate(self.precision[::-1])[::-1], 0.0)
        return best[np.searchsorted(self.recall, RECALLS, side="left")]


def matches_of(evaluation: COCOeval) -> dict[int, Matches]:
    """What pycocotools has matched at the first of its overlaps, of each class.

    The highest confidence comes first, each with the label of its class that it overlaps most, if
    nothing has it yet; of a class the best 100 of an image count, as in COCO.
    """
    parts: dict[int, list[Matches]] = {key: [] for key in evaluation.params.catIds}
    for image in filter(None, evaluation.evalImgs):  # None: neither labels nor finds
        counted = ~image["dtIgnore"][0]  # not counted: a box turned inside out
        confidence, right = np.array(image["dtScores"]), image["dtMatches"][0] > 0
        part = Matches(confidence[counted], right[counted], len(image["gtIds"]))
        parts[image["category_id"]].append(part)
    return {key: joined(each) for key, each in parts.items()}


def joined(parts: Iterable[Matches]) -> Matches:
    """What was found in several images, of several classes or in several data sets, as one."""
    parts = list(parts)
    confidence = np.concatenate([np.zeros(0), *(part.confidence for part in parts)])
    right = np.concatenate([np.zeros(0, bool), *(part.right for part in parts)])
    order = np.argsort(-confidence, kind="stable")  # equal ones in their order, as in pycocotools
    return Matches(confidence[order], right[order], sum(part.labels for part in parts))


def threshold_for_precision(found: Matches, precision: float) -> float | None:
    """The lowest confidence above which at least `precision` of what is found is right.

    Precision does not always rise with the confidence. Of several thresholds that reach it the
    lowest one finds most; above it precision may dip below what was asked, where little is found.

    Returns
    -------
    The shortest number that parts what it lets through from what it does not, so that what is
    typed is what was measured; None where no threshold reaches `precision`.
    """
    points = found.curve.thresholds
    reached = np.flatnonzero(points.precision >= precision - 1e-12)
    return _parting(points.confidence, reached[-1]) if len(reached) else None


def threshold_of_best_f1(found: Matches) -> float | None:
    """The confidence above which F1 is best, as `threshold_for_precision` gives it.

    Of equal ones the highest, which finds least that is wrong; None if nothing is right.
    """
    points = found.curve.thresholds
    if not found.right.any():
        return None
    return _parting(points.confidence, int(points.f1.argmax()))


def _parting(confidence: np.ndarray, index: int) -> float:
    """The shortest decimal below one confidence and above the next, or 0, also as float32."""
    high = np.float32(confidence[index])
    low = np.float32(confidence[index + 1]) if index + 1 < len(confidence) else np.float32(0)
    for digits in range(1, 10):
        # of a float32 as it reads: what reads 0.45 may lie a little below
        number = round((math.floor(float(str(low)) * 10**digits + 1e-6) + 1) / 10**digits, digits)
        if low < np.float32(number) < high:
            return number
    return (float(low) + float(high)) / 2
