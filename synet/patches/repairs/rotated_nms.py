"""Non-maximum suppression of rotated boxes in plain torch, for forks built on an extension."""

from __future__ import annotations

import torch
from torch import Tensor

CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))  # of a unit box, in order


def nms_rotated(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression.

    Parameters
    ----------
    boxes
        (N, 5): centre x, centre y, width, height, angle in radians.
    scores
        (N,).
    iou_threshold
        A box that overlaps a better one by more is dropped.

    Returns
    -------
    Indices of the boxes that are kept, int64, the highest score first.
    """
    order = scores.argsort(descending=True)
    corners = _corners(boxes.double())
    reach = boxes[:, 2:4].double().norm(dim=1) / 2  # beyond it boxes cannot touch
    areas = boxes[:, 2].double() * boxes[:, 3].double()
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        apart = (boxes[order, :2] - boxes[best, :2]).double().norm(dim=1)
        near = order[apart < reach[order] + reach[best]]
        common = _overlap(corners[best], corners[near])
        iou = common / (areas[near] + areas[best] - common).clamp(min=1e-12)
        dropped = near[iou > iou_threshold]
        order = order[~torch.isin(order, dropped)]
    return torch.stack(kept) if kept else order


def _corners(boxes: Tensor) -> Tensor:
    """(N, 5) to (N, 4, 2), in the order of a walk around the box."""
    unit = boxes.new_tensor(CORNERS)
    offset = unit * boxes[:, None, 2:4]
    sin, cos = boxes[:, 4].sin()[:, None], boxes[:, 4].cos()[:, None]
    x, y = offset.unbind(-1)
    turned = torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
    return turned + boxes[:, None, :2]


def _overlap(one: Tensor, others: Tensor) -> Tensor:
    """Areas that a box (4, 2) has in common with each of (M, 4, 2).

    What two convex shapes share is convex; its corners are the corners of either that lie in
    the other, and the points where their sides cross.
    """
    one = one.expand_as(others)
    crossings, crossed = _crossings(one, others)
    points = torch.cat((one, others, crossings), 1)
    valid = torch.cat((_inside(one, others), _inside(others, one), crossed), 1)
    count = valid.sum(1).clamp(min=1)
    middle = (points * valid[..., None]).sum(1) / count[:, None]
    points = torch.where(valid[..., None], points - middle[:, None], torch.zeros_like(points))
    angle = torch.atan2(points[..., 1], points[..., 0]).masked_fill(~valid, torch.inf)
    order = angle.argsort(1)
    points = points.gather(1, order[..., None].expand_as(points))
    # What is no corner takes the place of the first one, where it adds no area.
    valid = valid.gather(1, order)
    points = torch.where(valid[..., None], points, points[:, :1])
    ahead = points.roll(-1, 1)
    cross = points[..., 0] * ahead[..., 1] - points[..., 1] * ahead[..., 0]
    return cross.sum(1).abs() / 2


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Does each of (M, P, 2) points lie in its box of (M, 4, 2)? (M, P)."""
    origin = boxes[:, :1]
    sides = boxes[:, [1, 3]] - origin
    along = ((points - origin)[:, :, None] * sides[:, None]).sum(-1)
    length = (sides * sides).sum(-1)[:, None]
    slack = 1e-9 * length
    return ((along >= -slack) & (along <= length + slack)).all(-1)


def _crossings(one: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Points (M, 16, 2) where sides of the boxes cross, and whether they do (M, 16)."""
    a, b = one[:, :, None], others[:, None]
    along, across = (x.roll(-1, dim) - x for x, dim in ((a, 1), (b, 2)))
    gap = b - a
    parallel = along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]
    safe = torch.where(parallel == 0, torch.ones_like(parallel), parallel)
    t = (gap[..., 0] * across[..., 1] - gap[..., 1] * across[..., 0]) / safe
    u = (gap[..., 0] * along[..., 1] - gap[..., 1] * along[..., 0]) / safe
    crossed = (parallel != 0) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    points = a + t[..., None] * along
    return points.flatten(1, 2), crossed.flatten(1, 2)
