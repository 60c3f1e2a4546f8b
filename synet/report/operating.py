"""The confidence to use a model at, and what is found and missed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synet.data.yolo_yaml import Dataset
from synet.evaluation.class_names import unique_name
from synet.evaluation.curves import Score, joined, matches_of, threshold_of_best_f1
from synet.evaluation.found import Found

ALL = "all classes"


@dataclass(frozen=True)
class OperatingPoint:
    """What models find with a confidence above one, at an IoU of 0.5.

    Attributes
    ----------
    confidence
        At which F1 of int8 is best, over the finds of all classes.
    scores
        Of ``float``, where there is one, and ``int8``: by class, all of them first.
    """

    confidence: float
    scores: Mapping[str, Mapping[str, Score]]


def operating_point(models: Mapping[str, Found], dataset: Dataset) -> OperatingPoint | None:
    """Where to use int8, and what it and its float twin find there; None if it finds nothing right.

    Parameters
    ----------
    models
        What ``float``, where there is one, and ``int8`` find.
    """
    matches = {kind: matches_of(found.evaluation) for kind, found in models.items()}
    confidence = threshold_of_best_f1(joined(matches["int8"].values()))
    if confidence is None:
        return None
    scores = {
        kind: {ALL: joined(each.values()).above(confidence)}
        | {unique_name(dataset, key): one.above(confidence) for key, one in each.items()}
        for kind, each in matches.items()
    }
    return OperatingPoint(confidence, scores)
