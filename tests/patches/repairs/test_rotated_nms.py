"""Overlaps of rotated boxes against OpenCV's, and what suppression keeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from synet.patches.repairs.rotated_nms import _corners, _overlap, nms_rotated


def boxes(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.uniform([0, 0, 5, 5, -2], [60, 60, 40, 40, 2], (count, 5))
    return torch.from_numpy(values)


def opencv_overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    def rect(box):
        x, y, w, h, angle = box.tolist()
        return ((x, y), (w, h), float(np.degrees(angle)))

    kind, points = cv2.rotatedRectangleIntersection(rect(a), rect(b))
    return 0.0 if kind == 0 else cv2.contourArea(cv2.convexHull(points))


def test_overlaps_are_those_of_opencv():
    some = boxes(30)
    corners = _corners(some)
    for i in range(10):
        found = _overlap(corners[i], corners)
        expected = [opencv_overlap(some[i], other) for other in some]
        np.testing.assert_allclose(found, expected, atol=0.02)  # OpenCV works in float32


def test_a_box_overlaps_itself_and_what_it_holds():
    some = torch.tensor([[10, 10, 8, 4, 0.3], [10, 10, 8, 4, 0.3], [10, 10, 4, 2, 0.3]]).double()
    corners = _corners(some)
    assert _overlap(corners[0], corners).tolist() == pytest.approx([32, 32, 8])


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_a_kept_box_overlaps_no_better_one(threshold):
    some, scores = boxes(40, 1), torch.rand(40, generator=torch.Generator().manual_seed(0))
    kept = nms_rotated(some, scores, threshold).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    areas = (some[:, 2] * some[:, 3]).tolist()

    def iou(i, j):
        common = opencv_overlap(some[i], some[j])
        return common / (areas[i] + areas[j] - common)

    for i in range(40):
        better = [j for j in kept if scores[j] > scores[i]]
        assert (i in kept) == all(iou(i, j) <= threshold for j in better)


def test_nothing_in_nothing_out():
    assert nms_rotated(torch.zeros(0, 5), torch.zeros(0), 0.5).shape == (0,)
