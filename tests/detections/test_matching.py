from __future__ import annotations

import numpy as np

from synet.detections.matching import match


def pairs(shared, scores, least=0.5):
    rows, columns = match(np.array(shared, float), np.array(scores, float), least)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_the_highest_score_chooses_first():
    assert pairs([[0.9, 0.6], [0.95, 0.0]], [0.8, 0.7]) == [(0, 0)]
    assert pairs([[0.9, 0.6], [0.95, 0.0]], [0.7, 0.8]) == [(1, 0), (0, 1)]


def test_what_overlaps_too_little_stays_alone():
    assert pairs([[0.49]], [1]) == []
    assert pairs([[0.5]], [1]) == [(0, 0)]


def test_nothing_to_pair():
    assert pairs(np.zeros((0, 3)), []) == []
    assert pairs(np.zeros((2, 0)), [1, 1]) == []


def test_the_overlaps_stay_as_they_are():
    shared = np.full((2, 2), 0.9)
    match(shared, np.ones(2), 0.5)
    assert (shared == 0.9).all()
