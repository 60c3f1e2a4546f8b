"""What is heard of a head, decoded, is what the head decodes itself."""

from __future__ import annotations

import pytest
import tiny_ultralytics
import torch
from patched import patched_fork

from synet import layers
from synet.custom_patches import unpatch
from synet.layers.heads import head_form
from synet.models.locate import installed
from synet.teaching.rows import find_boxes, heard, is_rotated, rows_of


def in_rows(tensors) -> torch.Tensor:
    """(N, A, C, H, W) each, as heads order rows: level, anchor, y, x."""
    return torch.cat([t.movedim(2, -1).flatten(1, 3) for t in tensors], 1)


def test_a_head_with_anchors():
    head = layers.Detect(2, [[8, 9, 30, 20], [40, 50, 90, 60]], [4, 6]).eval()
    head.stride = torch.tensor([8.0, 16.0])
    head.anchors /= head.stride.view(-1, 1, 1)
    with heard(head, head_form(head)) as said, torch.no_grad():
        found, _ = head([torch.randn(2, 4, 6, 8), torch.randn(2, 6, 3, 4)])
    rows = rows_of(head, head_form(head), said)
    boxes = in_rows([level.boxes for level in rows])
    torch.testing.assert_close((boxes[..., :2] + boxes[..., 2:]) / 2, found[..., :2])
    torch.testing.assert_close(boxes[..., 2:] - boxes[..., :2], found[..., 2:4])
    told = [torch.cat((r.objectness[:, :, None], r.classes), 2).sigmoid() for r in rows]
    torch.testing.assert_close(in_rows(told), found[..., 4:])
    assert not head._forward_pre_hooks and not head.m[0]._forward_hooks


@pytest.fixture(scope="module")
def ultralytics():
    yield patched_fork(installed("ultralytics"), "sabre")
    unpatch()


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_a_head_with_distances(ultralytics, task):
    network = tiny_ultralytics.network(task)
    head = network.model[-1]
    with heard(head, head_form(head)) as said, torch.no_grad():
        found = network(torch.rand(1, 3, *tiny_ultralytics.SHAPE))
    while not isinstance(found, torch.Tensor):
        found = found[0]
    found = found.transpose(1, 2)
    rows = rows_of(head, head_form(head), said)
    boxes = in_rows([level.boxes for level in rows])
    torch.testing.assert_close((boxes[..., :2] + boxes[..., 2:]) / 2, found[..., :2])
    scores = in_rows([level.classes.sigmoid() for level in rows])
    torch.testing.assert_close(scores, found[..., 4 : 4 + head.nc])


def test_which_heads_tell_boxes(ultralytics):
    network = tiny_ultralytics.network("obb")
    head, form = find_boxes(network)
    assert head is network.model[-1] and is_rotated(form)
    assert find_boxes(tiny_ultralytics.network("classify")) is None
