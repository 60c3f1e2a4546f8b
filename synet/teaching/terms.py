"""How far a student is from the teacher's answers, in the measure of the fork's own loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from synet.teaching.answers import Answers, answers_of, nearest_level, on_cells
from synet.teaching.rows import Rows
from synet.teaching.weights import NOTHING, RATIO, REACH, SURE


def output_terms(
    student: Sequence[Rows], teacher: Sequence[Rows], gains: Mapping[str, float]
) -> dict[str, Tensor]:
    """Scores and boxes of all levels that the teacher tells something of.

    Parameters
    ----------
    student, teacher
        The levels of each, of the same images.
    gains
        Of the student's loss: see `synet.teaching.weights.gains_of`.

    Returns
    -------
    ``scores`` and ``boxes``, 0 where both networks tell the same, for the average image.
    """
    strides = [rows.stride for rows in student]
    compare = _with_anchors if student[0].objectness is not None else _with_distances
    told: list[tuple[int, Rows, Answers]] = []
    for level, rows in enumerate(student):
        mine = [one for one in teacher if nearest_level(one.stride, strides) == level]
        if mine:
            told.append((level, rows, _answers(rows, mine)))
    return compare(told, gains)


def _answers(rows: Rows, teacher: Sequence[Rows]) -> Answers:
    """What a level of the student is to be told: anchor by anchor where both have the same."""
    for one in teacher:
        if len(teacher) == 1 and _same_anchors(rows, one):
            return replace(answers_of(one), by_anchor=True)
    return on_cells(teacher, rows.stride, tuple(rows.boxes.shape[-2:]))


def _same_anchors(one: Rows, other: Rows) -> bool:
    return (
        one.anchors is not None
        and other.anchors is not None
        and one.boxes.shape == other.boxes.shape
        and torch.allclose(one.anchors, other.anchors, rtol=0.01)
    )


def _with_distances(
    told: Sequence[tuple[int, Rows, Answers]], gains: Mapping[str, float]
) -> dict[str, Tensor]:
    """Heads without anchors: sums over all cells, for each object that the teacher is sure of."""
    scores, boxes, bins, sure = [], [], [], []
    for _, rows, answers in told:
        scores.append(divergence(rows.classes, answers.scores).sum())
        weight = answers.confidence * (answers.confidence > SURE)
        sure.append(weight.sum())
        boxes.append(_apart(rows.boxes, answers.boxes, weight))
        if rows.bins is not None and answers.bins is not None:
            bins.append(_bins(rows.bins, answers.bins, weight[:, 0] * answers.own))
    objects = sum(sure).clamp(min=1)
    told_boxes = gains["box"] * sum(boxes) + (gains["dfl"] * sum(bins) if bins else 0)
    return {"scores": gains["cls"] * sum(scores) / objects, "boxes": told_boxes / objects}


def _bins(bins: Tensor, answers: Tensor, weight: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the distances' distributions, where both have such bins."""
    here = weight > 0
    if bins.shape != answers.shape or not here.any():
        return bins.sum() * 0
    one, other = (x.movedim((1, 2), (-2, -1))[here].log_softmax(-1) for x in (bins, answers))
    apart = F.kl_div(one, other, reduction="none", log_target=True).sum(-1)
    return (apart.mean(-1) * weight[here]).sum()


def _with_anchors(
    told: Sequence[tuple[int, Rows, Answers]], gains: Mapping[str, float]
) -> dict[str, Tensor]:
    """Heads with anchors: means over the rows of each level, of which finer ones count more."""
    scores, boxes = [], []
    for level, rows, answers in told:
        fits = _fits(rows, answers)
        known = fits | (answers.confidence < NOTHING)
        confidence = answers.confidence.expand_as(fits)
        objectness = divergence(rows.objectness, confidence)
        scores.append(gains["obj"] * 4.0 ** (1 - level) * (objectness * known).mean())
        weight = confidence * (fits & (confidence > SURE))
        objects = weight.sum().clamp(min=1)
        classes = divergence(rows.classes, answers.classes.expand_as(rows.classes)).mean(2)
        scores.append(gains["cls"] * (classes * weight).sum() / objects)
        boxes.append(gains["box"] * _apart(rows.boxes, answers.boxes, weight) / objects)
    return {"scores": sum(scores), "boxes": sum(boxes)}


def _fits(rows: Rows, answers: Answers) -> Tensor:
    """Which anchors can tell the teacher's box of their cell (N, A, H, W)."""
    if answers.by_anchor or rows.anchors is None:
        return torch.ones_like(rows.objectness, dtype=torch.bool)
    near, far = answers.boxes.split(2, 2)
    size = (far - near).clamp(min=1e-3)
    ratio = size / rows.anchors.view(1, -1, 2, 1, 1)
    shaped = torch.maximum(ratio, 1 / ratio).amax(2) < RATIO
    height, width = rows.boxes.shape[-2:]
    x, y = (torch.arange(n, device=size.device) + 0.5 for n in (width, height))
    middle = torch.stack(torch.meshgrid(x, y, indexing="xy"))
    away = ((near + far) / (2 * rows.stride) - middle).abs().amax(2)
    return shaped & (away < 0.5 + REACH)


def _apart(boxes: Tensor, answers: Tensor, weight: Tensor) -> Tensor:
    """Sum of 1 less the generalised IoU where the teacher is sure, weighted by how sure it is."""
    from torchvision.ops import generalized_box_iou_loss  # all YOLOs have it

    here = weight > 0
    if not here.any():
        return boxes.sum() * 0
    one, other = (x.expand_as(boxes).movedim(2, -1)[here] for x in (boxes, answers))
    return (generalized_box_iou_loss(one, other) * weight[here]).sum()


def divergence(logits: Tensor, told: Tensor) -> Tensor:
    """How far the student's probabilities are from those told: cross entropy beyond its least."""
    least = torch.special.entr(told) + torch.special.entr(1 - told)
    return F.binary_cross_entropy_with_logits(logits, told, reduction="none") - least
