"""The confusion matrix, against ultralytics' own and on scenes where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synet.detections.detections import Detections
from synet.evaluation.confusion import confusion_matrix


def boxes(*rows: tuple[float, int, float]) -> Detections:
    """20x20 boxes from x, class and score each."""
    table = np.array(rows, float).reshape(-1, 3)
    corners = np.stack([table[:, 0], np.zeros(len(table))], axis=1)
    return Detections(np.concatenate([corners, corners + 20], 1), table[:, 2], table[:, 1])


def test_hits_mix_ups_misses_and_false_alarms():
    there = boxes((0, 0, 1), (50, 1, 1), (100, 1, 1))
    found = boxes((1, 0, 0.9), (51, 0, 0.8), (200, 1, 0.7), (2, 0, 0.6), (100, 1, 0.25))
    matrix = confusion_matrix([there], [found], 2)
    # rows: found as 0, as 1, not found; columns: is 0, is 1, nothing there
    assert matrix.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 0]]


def test_images_without_labels_or_finds_count():
    nothing = boxes()
    matrix = confusion_matrix([nothing, boxes((0, 1, 1))], [boxes((0, 0, 0.9)), nothing], 2)
    assert matrix.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert not confusion_matrix([], [], 2).any()


@pytest.mark.parametrize("seed", range(3))
def test_as_ultralytics_counts(seed):
    metrics = pytest.importorskip("ultralytics.utils.metrics")
    rng = np.random.default_rng(seed)
    theirs = metrics.ConfusionMatrix({number: str(number) for number in range(4)})
    labels, found = [], []
    for count in rng.integers(0, 30, 20):
        corner = rng.uniform(0, 200, (count, 2))
        there = np.concatenate([corner, corner + rng.uniform(20, 90, (count, 2))], axis=1)
        picks = rng.integers(0, count, 2 * count) if count else np.zeros(0, int)
        hits = there[picks] + rng.normal(0, 6, (len(picks), 4))
        labels.append(Detections(there, np.ones(count), rng.integers(0, 4, count)))
        classes = rng.integers(0, 4, len(hits))
        found.append(Detections(hits, rng.random(len(hits)), classes))
        theirs.process_batch(
            {
                "cls": torch.tensor(found[-1].classes),
                "conf": torch.tensor(found[-1].scores),
                "bboxes": torch.tensor(found[-1].boxes),
            },
            {"cls": torch.tensor(labels[-1].classes), "bboxes": torch.tensor(labels[-1].boxes)},
        )
    np.testing.assert_array_equal(confusion_matrix(labels, found, 4), theirs.matrix)
