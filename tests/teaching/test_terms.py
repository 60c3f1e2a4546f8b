"""How far apart two networks are: nothing where they tell the same, and a way back where not."""

from __future__ import annotations

import pytest
import torch

from synet.teaching.features import missing_share
from synet.teaching.rows import Rows
from synet.teaching.terms import output_terms
from synet.teaching.weights import FLOOR, GAINS, gains_of, scheduled

ANCHORS = torch.tensor([[16.0, 16.0], [64.0, 64.0]])


def boxes(side: float, anchors: int, cells: int = 4, stride: float = 8.0) -> torch.Tensor:
    """Squares around the middle of each cell."""
    x = (torch.arange(cells) + 0.5) * stride
    centre = torch.stack(torch.meshgrid(x, x, indexing="xy")).repeat(2, 1, 1)
    half = torch.tensor([-1, -1, 1, 1]).view(4, 1, 1) * side / 2
    return (centre + half).expand(1, anchors, 4, cells, cells).clone()


def with_anchors(logit: float, side: float = 20.0, anchors: torch.Tensor = ANCHORS) -> Rows:
    shape = 1, len(anchors), 4, 4
    classes = torch.full((1, len(anchors), 3, 4, 4), logit)
    return Rows(8.0, boxes(side, len(anchors)), classes, torch.full(shape, logit), anchors=anchors)


def with_distances(logit: float, side: float = 20.0) -> Rows:
    bins = torch.randn(1, 4, 5, 4, 4, generator=torch.Generator().manual_seed(int(side)))
    return Rows(8.0, boxes(side, 1), torch.full((1, 1, 3, 4, 4), logit), bins=bins)


def apart(student: Rows, teacher: Rows) -> dict[str, float]:
    gains = GAINS[student.objectness is not None]
    return {name: float(t) for name, t in output_terms([student], [teacher], gains).items()}


@pytest.mark.parametrize("make", [with_anchors, with_distances])
def test_who_tells_the_same_is_not_apart(make):
    assert apart(make(2.0), make(2.0)) == pytest.approx({"scores": 0, "boxes": 0}, abs=1e-5)
    assert apart(make(-1.0), make(2.0))["scores"] > 0.01
    assert apart(make(2.0, 30.0), make(2.0))["boxes"] > 0.01


def test_boxes_count_where_the_teacher_is_sure():
    assert apart(with_distances(2.0, 30.0), with_distances(-5.0))["boxes"] == 0
    assert apart(with_distances(-5.0, 30.0), with_distances(2.0))["boxes"] > 0.01


@pytest.mark.parametrize(
    ("make", "teacher"),
    [(with_anchors, with_distances(2.0)), (with_distances, with_anchors(2.0))],
)
def test_heads_of_other_kinds_learn_boxes_and_scores(make, teacher):
    student = make(-2.0, 30.0)
    student.boxes.requires_grad_()
    student.classes.requires_grad_()
    terms = output_terms([student], [teacher], GAINS[student.objectness is not None])
    sum(terms.values()).backward()
    assert student.boxes.grad.abs().sum() > 0
    assert (student.classes.grad <= 0).all() and (student.classes.grad < 0).any()


def test_an_anchor_that_cannot_tell_the_box_is_left_alone():
    student = with_anchors(-2.0, anchors=torch.tensor([[16.0, 16.0], [160.0, 160.0]]))
    student.objectness.requires_grad_()
    output_terms([student], [with_distances(2.0)], GAINS[True])["scores"].backward()
    first, second = student.objectness.grad[0]
    assert (first < 0).all() and (second == 0).all()


def test_where_the_teacher_sees_nothing_no_anchor_shall():
    student = with_anchors(2.0)
    student.objectness.requires_grad_()
    output_terms([student], [with_distances(-5.0)], GAINS[True])["scores"].backward()
    assert (student.objectness.grad > 0).all()


def test_features_count_by_what_no_convolution_tells_of_them():
    student = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = torch.einsum("nchw,kc->nkhw", student, torch.randn(9, 6)) + 3
    assert missing_share(student, mixed) < 0.01
    other = torch.randn(2, 9, 8, 9, generator=torch.Generator().manual_seed(1))
    assert missing_share(student, other) > 0.8
    student.requires_grad_()
    half = torch.cat((mixed, other[..., :8]), 1)
    missing_share(student, half).backward()
    assert missing_share(student.detach() - 5 * student.grad * student.numel() / 99, half) < (
        missing_share(student, half)
    )


def test_the_weight_follows_the_learning_rate_down_to_a_floor():
    assert [scheduled(rate) for rate in (10.0, 1.0, 0.0)] == [1.0, 1.0, FLOOR]


def test_gains_are_those_of_the_model():
    class Model:
        hyp = {"box": 0.1, "anchor_t": 4}

    assert gains_of(Model, True) == {"box": 0.1, "obj": 1.0, "cls": 0.5}
    assert gains_of(object(), False) == GAINS[False]
