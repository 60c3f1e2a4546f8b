"""From what a chip tells of a rotated box to the box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from synet.rotated import cell_centres, enclosing_boxes, rotated_boxes, rotated_corners


def test_cells_row_by_row_level_by_level():
    centres = cell_centres((17, 24), (8, 16))  # three rows of three cells, two rows of two
    assert centres.tolist() == [
        *([x, y] for y in (4, 12, 20) for x in (4, 12, 20)),
        *([x, y] for y in (8, 24) for x in (8, 24)),
    ]


@pytest.mark.parametrize(
    ("angle", "centre"),
    [(0, (103, 52)), (np.pi / 2, (98, 53)), (np.pi, (97, 48)), (-np.pi / 2, (102, 47))],
)
def test_a_box_is_turned_about_the_cell(angle, centre):
    """Three pixels to the right and two down, along the axes of the box."""
    sides = np.array([[2, 1, 8, 5]], np.float32)
    found = rotated_boxes(sides, np.array([[angle]]), np.array([[100, 50]]))
    np.testing.assert_allclose(found, [[*centre, 10, 6, angle]], atol=1e-5)


@pytest.mark.parametrize(
    ("angle", "size"), [(0, (10, 6)), (np.pi / 2, (6, 10)), (np.pi / 4, (16 / 2**0.5,) * 2)]
)
def test_the_box_around_it(angle, size):
    found = enclosing_boxes(np.array([[50, 40, 10, 6, angle]]))
    w, h = size
    np.testing.assert_allclose(found, [[50 - w / 2, 40 - h / 2, 50 + w / 2, 40 + h / 2]])


def test_corners_are_those_of_opencv_in_turn():
    random = np.random.default_rng(0)
    boxes = random.uniform((50, 50, 5, 5, -1), (90, 90, 40, 40, 2), (20, 5)).astype(np.float32)
    for box, corners in zip(boxes, rotated_corners(boxes), strict=True):
        points = cv2.boxPoints((box[:2], box[2:4], np.degrees(box[4])))
        distances = np.linalg.norm(points[:, None] - corners[None], axis=2)
        np.testing.assert_allclose(distances.min(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(cv2.contourArea(corners), box[2] * box[3], rtol=1e-4)
    around = enclosing_boxes(boxes)
    np.testing.assert_allclose(rotated_corners(boxes).min(axis=1), around[:, :2], atol=1e-3)
    assert rotated_corners(boxes[:0]).shape == (0, 4, 2)
