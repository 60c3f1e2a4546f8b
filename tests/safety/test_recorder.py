from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from keras_twin import Call, draw
from torch import nn

from synet.chips import get_chip
from synet.layers import Conv2d
from synet.safety.recorder import Recorder

X = draw(1, 4, 16, 16)


def recorded(module, x=X):
    recorder = Recorder(get_chip("katana"))
    with torch.no_grad(), recorder:
        module(x)
    return recorder


def said(function, x=X):
    return [problem.text for problem in recorded(Call(function).eval(), x).problems]


def test_a_problem_knows_who_was_running():
    inner = nn.Sequential(nn.ReLU6(), nn.Tanh())
    outer = nn.Sequential(nn.Identity(), inner)
    (problem,) = recorded(outer).problems
    assert problem.stack == (outer, inner, inner[1])
    assert (problem.function, problem.operation) == ("tanh", "TANH")
    assert str(problem) == "tanh becomes TANH, which katana does not run; use ReLU6"


def test_calls_know_their_shapes():
    pool, flat = nn.MaxPool2d(2), nn.Flatten()
    calls = recorded(nn.Sequential(nn.ReLU6(), pool, flat)).calls
    assert (calls[pool].before, calls[pool].after) == ((1, 4, 16, 16), (1, 4, 8, 8))
    assert not calls[pool].keeps_image and not calls[flat].keeps_image
    assert recorded(act := nn.ReLU6()).calls[act].keeps_image
    pair = Call(lambda x: (x, x))
    assert recorded(pair).calls[pair].after is None


def test_what_is_computed_from_constants_is_one():
    weight = torch.rand(4)
    assert said(lambda x: x * weight.exp().sort()[0].view(1, 4, 1, 1)) == []
    assert said(lambda x: x + torch.arange(16).cumsum(0).float()) == []
    assert said(lambda x: x.view(x.shape[0], -1)[:, : x.size(1)]) == []
    assert said(lambda x: x.exp()) == ["exp becomes EXP, which katana does not run"]
    assert said(lambda x: (x.data * 2).detach().clone().exp()) != []


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x.cumsum(1), "cumsum cannot be exported"),
        (lambda x: x / x, "div becomes DIV, which katana does not run"),
        (lambda x: F.silu(x), "the activation is SiLU (x times its logistic)"),
        (lambda x: x * x.sigmoid(), "the activation is SiLU (x times its logistic)"),
        (lambda x: torch.sigmoid(x).mul(x), "the activation is SiLU (x times its logistic)"),
        (lambda x: F.conv2d(x, torch.ones(4, 4, 9, 9), padding=4), "CONV_2D with kernel 9x9, the"),
        (lambda x: F.max_pool2d(x[..., :15, :15], 3, 3), "MAX_POOL_2D with stride 3x3"),
        (lambda x: F.pad(x, (1, 1), value=2), "pad becomes PADV2, which katana does not run"),
        (
            lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
            "pad becomes MIRROR_PAD, which katana does",
        ),
        (lambda x: x.flatten(1).mean(1), "mean becomes MEAN, which katana does not run"),
        (lambda x: x.new_zeros(x.shape), "new_zeros cannot be exported"),
    ],
)
def test_what_the_chip_does_not_run(function, text):
    (found,) = said(function)
    assert found.startswith(text)


@pytest.mark.parametrize(
    "function",
    [
        *(lambda x: x - 1, lambda x: 1 - x, lambda x: x - x, lambda x: x / 2, lambda x: -x),
        *(lambda x: torch.cat([x, x], axis=1), lambda x: x.mean((2, 3), keepdims=True)),
        *(lambda x: x.sigmoid() * 2, lambda x: x * (x + 1).sigmoid()),
        *(
            lambda x: x.max(1, keepdim=True)[0],
            lambda x: x.sum(1),
            lambda x: F.dropout(x, 0.1, False),
        ),
    ],
)
def test_what_it_runs(function):
    assert said(function) == []


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda x: F.avg_pool2d(x, 2), "AVERAGE_POOL_2D"),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 3)), "AVERAGE_POOL_2D MEAN"),
        (lambda x: x.mean(2), "MEAN"),
        (lambda x: x.mean((2, 3)), "DEPTHWISE_CONV_2D"),
    ],
)
def test_a_mean_on_a_chip_without_depthwise_convolutions(function, operations):
    katana = get_chip("katana")
    ops = {name: rule for name, rule in katana.ops.items() if name != "DEPTHWISE_CONV_2D"}
    recorder = Recorder(replace(katana, ops=ops))
    with torch.no_grad(), recorder:
        Call(function).eval()(X)
    assert {problem.operation for problem in recorder.problems} == {*operations.split()}


# --- padding ------------------------------------------------------------------------------------


def convolved(pad, kernel, stride, padding=0, between=lambda x: x):
    weight = torch.ones(4, 4, kernel, kernel)
    return said(lambda x: F.conv2d(between(F.pad(x, pad)), weight, None, stride, padding))


def test_padding_that_is_same_is_none():
    assert convolved((0, 1, 0, 1), 3, 2) == []
    assert convolved((1, 1, 1, 1), 3, 1) == []
    assert convolved((0, 1, 0, 1), 3, 2, between=lambda x: x.contiguous()) == []
    assert convolved((0, 0), 3, 1, 1) == []
    assert recorded(Conv2d(4, 4, 3, 2)).problems == []
    assert recorded(nn.Conv2d(4, 4, 4, padding="same")).problems == []


def test_other_padding_is_one():
    said_of_pad = ["conv2d becomes PAD, which katana does not run"]
    assert convolved((1, 0, 1, 0), 3, 2) == said_of_pad
    assert convolved((0, 1, 0, 1), 3, 2, 1) == said_of_pad
    assert convolved((0, 0), 3, 2, 1) == said_of_pad
    assert convolved((0, 0), 3, 1) == said_of_pad


def test_an_error_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        recorded(Call(lambda x: 1 / 0))
    assert recorded(nn.ReLU6()).problems == []
    assert not torch.nn.modules.module._global_forward_pre_hooks
