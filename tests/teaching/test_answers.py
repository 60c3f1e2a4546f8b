"""The teacher's answers, on cells of other sizes than its own."""

from __future__ import annotations

import torch

from synet.teaching.answers import answers_of, nearest_level, on_cells
from synet.teaching.rows import Rows


def level(stride: float, height: int, width: int, sure: dict[tuple[int, int], float], bins=True):
    """A level without anchors that tells, for some cells, a score of the second class."""
    scores = torch.full((1, 1, 2, height, width), 1e-3)
    boxes = torch.zeros(1, 1, 4, height, width)
    for (y, x), score in sure.items():
        scores[0, 0, 1, y, x] = score
        boxes[0, 0, :, y, x] = torch.tensor([x, y, x + 1, y + 1]) * stride
    return Rows(stride, boxes, scores.logit(), bins=torch.zeros(1, 4, 3, height, width))


def test_a_level_goes_to_the_nearest_one():
    assert [nearest_level(s, (8.0, 16.0)) for s in (4, 8, 16, 32)] == [0, 0, 1, 1]


def test_the_same_cells_are_taken_as_they_are_and_what_is_beyond_is_cut():
    found = on_cells([level(8, 4, 4, {(1, 2): 0.9})], 8, (3, 4))
    assert found.confidence.shape == (1, 1, 3, 4)
    assert found.confidence[0, 0, 1, 2] == torch.tensor(0.9).logit().sigmoid()
    assert found.own.all()


def test_what_coarser_cells_tell_is_told_to_each_cell_in_them():
    found = on_cells([level(16, 4, 6, {(0, 0): 0.5}), level(32, 2, 3, {(1, 2): 0.8})], 16, (3, 6))
    sure = found.confidence[0, 0] > 0.4
    assert sure.nonzero().tolist() == [[0, 0], [2, 4], [2, 5]]
    assert found.boxes[0, 0, :, 2, 5].tolist() == [64, 32, 96, 64]
    assert found.own[0, 0, 0] and not found.own[0, 2, 4]
    assert (
        found.scores[0, 0, :, 2, 4].tolist() == torch.tensor([1e-3, 0.8]).logit().sigmoid().tolist()
    )


def test_of_finer_cells_the_surest_is_told():
    found = on_cells([level(4, 6, 4, {(2, 2): 0.5, (3, 3): 0.7})], 8, (3, 2))
    assert (found.confidence[0, 0] > 0.4).nonzero().tolist() == [[1, 1]]
    assert found.boxes[0, 0, :, 1, 1].tolist() == [12, 12, 16, 16] and not found.own.any()


def test_of_a_cells_anchors_the_surest_is_told():
    boxes = torch.arange(2.0).view(1, 2, 1, 1, 1).expand(1, 2, 4, 1, 1)
    objectness = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1)
    rows = Rows(8.0, boxes, torch.zeros(1, 2, 3, 1, 1), objectness, anchors=torch.ones(2, 2))
    assert answers_of(rows).confidence.shape[1] == 2
    found = on_cells([rows], 8.0, (1, 1))
    assert found.boxes.flatten().tolist() == [1.0] * 4
    torch.testing.assert_close(
        found.scores.flatten(), torch.full((3,), 0.5) * torch.tensor(2.0).sigmoid()
    )
