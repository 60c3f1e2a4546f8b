"""From what a network told to what is in the image."""

from __future__ import annotations

import numpy as np
import pytest

from synet.data.images import Placement
from synet.models.decode import decode

PLACEMENT = Placement(scale=2, left=10, top=0, image_shape=(100, 150), input_shape=(200, 320))
INPUT = np.float32([[110, 60], [210, 160]])  # two corners in the input, and where they are


def told(rows: int = 1, **more: np.ndarray) -> dict[str, np.ndarray]:
    corners = {
        name: np.tile(at, (rows, 1)) for name, at in zip(("x1y1", "x2y2"), INPUT, strict=True)
    }
    return corners | {"scores": np.full((rows, 1), 0.5, np.float32)} | more


def test_boxes_lie_in_the_image():
    found = decode(told(), PLACEMENT, 0.1, 0.5)
    np.testing.assert_allclose(found.boxes, [[50, 30, 100, 80]])
    assert found.keypoints is found.masks is found.rotated is None


@pytest.mark.parametrize("presence", [None, 0.25])
def test_keypoints_follow_their_row(presence):
    points = np.float32([[[0, 0], [0, 0]], [[110, 60], [10, 0]]])
    more = {} if presence is None else {"presence": np.full((2, 2), presence, np.float32)}
    outputs = told(2, keypoints=points, **more)
    outputs["scores"][0] = 0.01
    found = decode(outputs, PLACEMENT, 0.1, 0.5)
    there = 1 if presence is None else presence
    np.testing.assert_allclose(found.keypoints, [[[50, 30, there], [0, 0, there]]])


def test_rotated_boxes_suppress_by_what_they_enclose():
    """Two thin bars cross: the boxes around them are the same, they themselves hardly overlap."""
    bars = np.float32([[160, 100, 80, 4, np.pi / 4], [160, 100, 80, 4, -np.pi / 4]])
    outputs = {"rotated": bars, "scores": np.float32([[0.9], [0.8]])}
    found = decode(outputs, PLACEMENT, 0.1, 0.5)
    np.testing.assert_allclose(
        found.rotated, [[75, 50, 40, 2, np.pi / 4], [75, 50, 40, 2, -np.pi / 4]], rtol=1e-6
    )
    side = 21 * 2**0.5 / 2
    around = [75 - side, 50 - side, 75 + side, 50 + side]
    np.testing.assert_allclose(found.boxes, [around, around], rtol=1e-5)


def test_masks_are_drawn_when_asked_for():
    prototypes = np.ones((50, 80, 1), np.float32)
    outputs = told(coefficients=np.ones((1, 1), np.float32), prototypes=prototypes)
    assert decode(outputs, PLACEMENT, 0.1, 0.5).masks is None
    (mask,) = decode(outputs, PLACEMENT, 0.1, 0.5, masks=True).masks
    assert mask.shape == (100, 150)
    assert mask[30:80, 50:100].all() and mask.sum() == 50 * 50  # all of its box, and nothing else
