"""The confidence to use a model at, where what it finds is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synet.data.yolo_yaml import Dataset
from synet.detections.detections import Detections
from synet.evaluation.found import Found
from synet.report.operating import ALL, operating_point

NAMES = ("cat", "dog", "none")
BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 90, 90], [0, 60, 20, 90]])
LABELS = Detections(BOXES[:3], np.ones(3), [0, 0, 1])
DATA = Dataset(Path("d.yaml"), NAMES, {})


def found(scores, boxes=BOXES, classes=(0, 0, 1, 1)) -> Found:
    finds = Detections(boxes[: len(scores)], scores, classes[: len(scores)])
    return Found((Path("a.png"),), (LABELS,), (finds,), np.arange(3), 1.0)


def test_it_is_where_f1_of_int8_is_best_and_float_is_asked_the_same():
    int8 = found([0.9, 0.6, 0.5, 0.3])  # the last is a false alarm
    float_ = found([0.95, 0.2, 0.7, 0.8])  # one too faint, and the alarm is sure
    told = operating_point({"float": float_, "int8": int8}, DATA)
    assert told.confidence == 0.4
    assert list(told.scores) == ["float", "int8"]
    everything = told.scores["int8"][ALL]
    assert (everything.precision, everything.recall, everything.f1) == (1, 1, 1)
    everything = told.scores["float"][ALL]
    assert (everything.labels, everything.found, everything.right) == (3, 3, 2)
    assert list(told.scores["float"]) == [ALL, *NAMES]
    dog = told.scores["float"]["dog"]
    assert (dog.labels, dog.precision, dog.recall) == (1, 0.5, 1)
    assert told.scores["int8"]["none"].labels == 0


def test_without_a_float_model():
    told = operating_point({"int8": found([0.9])}, DATA)
    assert list(told.scores) == ["int8"] and told.scores["int8"][ALL].recall == 1 / 3


def test_there_is_none_where_nothing_is_right():
    assert operating_point({"int8": found([])}, DATA) is None
    assert operating_point({"int8": found([0.9], boxes=BOXES[3:])}, DATA) is None
