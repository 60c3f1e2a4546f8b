"""Masks from prototypes: where they lie in the image."""

from __future__ import annotations

import numpy as np
import pytest
from placed_boxes import in_input

from synet.data.images import letterbox
from synet.detections.masks import draw_masks

INPUT, STRIDE = (128, 192), 4


def distances(rows: int, columns: int, centre: tuple[float, float]) -> np.ndarray:
    """Of each pixel's middle, or cell's, from a point: ``(rows, columns)``."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    return np.hypot(x - centre[0], y - centre[1])


@pytest.mark.parametrize("shape", [(128, 192), (200, 111), (61, 300), (500, 700)])
def test_a_disc_lies_where_it_is_in_the_image(shape):
    """Prototypes that fall off evenly from a point: their zero crossing is a circle."""
    _, placement = letterbox(np.zeros((*shape, 3), np.uint8), INPUT)
    height, width = shape
    centre, radius = np.array([width * 0.45, height * 0.55]), min(shape) * 0.3
    (x, y, _, _) = in_input(placement, np.array([[*centre, 0, 0]]))[0] / STRIDE
    cells = [side // STRIDE for side in INPUT]
    slope = radius * placement.scale / STRIDE - distances(*cells, (x, y))
    prototypes = np.stack([slope, np.full(cells, 7.0)], axis=-1).astype(np.float32)
    expected = distances(*shape, centre) < radius
    whole, half, none = draw_masks(
        np.float32([[1, 0], [0.5, 0], [0, -1]]),
        prototypes,
        np.float32([[0, 0, width, height], [0, 0, centre[0], height], [0, 0, width, height]]),
        placement,
    )
    assert whole.shape == shape and whole.dtype == bool
    rim = np.abs(distances(*shape, centre) - radius) < 1.5 / placement.scale
    np.testing.assert_array_equal(whole[~rim], expected[~rim])
    edge = int(np.ceil(centre[0]))
    np.testing.assert_array_equal(half[:, :edge], whole[:, :edge])
    assert not half[:, edge:].any() and not none.any()


def test_no_box_no_mask():
    _, placement = letterbox(np.zeros((10, 20, 3), np.uint8), INPUT)
    prototypes = np.ones((32, 48, 1), np.float32)
    assert draw_masks(np.zeros((0, 1)), prototypes, np.zeros((0, 4)), placement).shape == (
        0,
        10,
        20,
    )
    (flat,) = draw_masks(np.ones((1, 1)), prototypes, np.float32([[20, 3, 20, 5]]), placement)
    assert not flat.any()
