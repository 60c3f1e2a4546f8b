"""The teacher's answers, on the cells of a student's level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synet.teaching.rows import Rows


@dataclass
class Answers:
    """What the teacher tells of the cells of one level; A as of `Rows`.

    Parameters
    ----------
    confidence
        How sure it is that an object is there (N, A, H, W), 0-1.
    classes
        Which one that would be (N, A, C, H, W), 0-1.
    boxes
        Corners in pixels (N, A, 4, H, W).
    bins
        Logits of its distances (N, 4, bins, H, W), where it has bins.
    own
        Where it has them for this very cell, and not for one of another size (N, H, W).
    by_anchor
        A are the student's own anchors.
    """

    confidence: Tensor
    classes: Tensor
    boxes: Tensor
    bins: Tensor | None = None
    own: Tensor | None = None
    by_anchor: bool = False

    @property
    def scores(self) -> Tensor:
        """Confidence in each class (N, A, C, H, W)."""
        return self.confidence[:, :, None] * self.classes


def answers_of(rows: Rows) -> Answers:
    """What a level of the teacher tells, cell by cell."""
    classes = rows.classes.sigmoid()
    if rows.objectness is None:
        confidence = classes.amax(2)
        classes = classes / confidence[:, :, None].clamp(min=1e-6)
    else:
        confidence = rows.objectness.sigmoid()
    own = None if rows.bins is None else torch.ones_like(confidence[:, 0], dtype=torch.bool)
    return Answers(confidence, classes, rows.boxes, rows.bins, own)


def nearest_level(stride: float, strides: Iterable[float]) -> int:
    """The level that is to learn what the teacher tells at a stride: that of the nearest one."""
    return min(enumerate(strides), key=lambda level: abs(level[1] / stride - stride / level[1]))[0]


def on_cells(teacher: Iterable[Rows], stride: float, cells: tuple[int, int]) -> Answers:
    """What all these levels of the teacher tell, on the cells of a student's level.

    A student of few levels finds on its coarsest what the teacher finds on coarser ones; of
    several answers for a cell the surest counts.

    Parameters
    ----------
    teacher
        Its levels, one at least.
    stride, cells
        Of the student's level.
    """
    found = [_moved(_surest(answers_of(rows)), rows.stride, stride, cells) for rows in teacher]
    best = found[0]
    for other in found[1:]:
        best = _surer(best, other)
    return best


def _surest(answers: Answers) -> Answers:
    """The surest of a cell's anchors alone."""
    if answers.confidence.shape[1] == 1:
        return answers
    index = (answers.confidence * answers.classes.amax(2)).argmax(1, keepdim=True)

    def pick(x: Tensor) -> Tensor:
        return x.gather(1, index[:, :, None].expand(-1, -1, *x.shape[2:]))

    confidence = answers.confidence.gather(1, index)
    return Answers(confidence, pick(answers.classes), pick(answers.boxes))


def _moved(answers: Answers, stride: float, to: float, cells: tuple[int, int]) -> Answers:
    """The same on cells of another size: larger ones get the surest of those that lie in them."""
    n, _, height, width = answers.confidence.shape
    if stride == to and (height, width) == cells:
        return answers
    size = max(round(to / stride), 1)  # cells in a larger one, along a side
    confidence = answers.confidence
    pooled, index = F.max_pool2d(confidence, size, ceil_mode=True, return_indices=True)
    shown = max(stride / to, 1)  # cells that lie in a smaller one's place
    y, x = (
        ((torch.arange(count, device=index.device) + 0.5) / shown).long().clamp(max=limit - 1)
        for count, limit in zip(cells, pooled.shape[-2:], strict=True)
    )
    index = index[:, 0, y[:, None], x[None]].flatten(1)

    def pick(tensor: Tensor) -> Tensor:
        flat = tensor.flatten(-2)
        where = index.view(n, *[1] * (flat.dim() - 2), -1).expand(*flat.shape[:-1], -1)
        return flat.gather(-1, where).unflatten(-1, cells)

    moved = Answers(pick(confidence), pick(answers.classes), pick(answers.boxes))
    if answers.bins is not None:
        moved.bins, moved.own = pick(answers.bins), pick(answers.own)
        if stride != to:
            moved.own = torch.zeros_like(moved.own)
    return moved


def _surer(one: Answers, other: Answers) -> Answers:
    """Cell by cell the answer that is surer."""
    first = one.confidence >= other.confidence
    bins, own = one.bins, one.own
    if bins is not None and other.bins is not None and bins.shape == other.bins.shape:
        bins = torch.where(first[:, 0, None, None], bins, other.bins)
        own = torch.where(first[:, 0], own, other.own)
    return Answers(
        torch.where(first, one.confidence, other.confidence),
        torch.where(first[:, :, None], one.classes, other.classes),
        torch.where(first[:, :, None], one.boxes, other.boxes),
        bins,
        own,
    )
