from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from keras_twin import Call
from torch import nn

from synet.layers import Cat, Conv
from synet.safety.activation_behaviour import activation_for

IMAGE = (1, 6, 8, 8)


class Efficient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)


RECTIFIERS = {
    "swish": lambda x: x * torch.sigmoid(x),
    "mish": lambda x: x * F.softplus(x).tanh(),
    "hard swish": lambda x: x * F.hardtanh(x + 3, 0.0, 6.0) / 6.0,
    "memory efficient": Efficient.apply,
    "leaky": lambda x: torch.where(x > 0, x, x * 0.1),
    "in place": lambda x: F.relu(x, inplace=True),
}
GATES = {
    "h sigmoid": lambda x: F.relu6(x + 3) / 6,
    "clamped": lambda x: (x * 0.2 + 0.5).clamp(0, 1),
}
OTHERS = {
    "same": lambda x: x,
    "relu6": lambda x: x.clamp(0, 6),
    "twice": lambda x: x * 2,
    "squared": lambda x: x * x,
    "shifted": lambda x: x.roll(1, 1),
    "pooled": lambda x: F.max_pool2d(x, 3, 1, 1),
    "softmax": lambda x: x.softmax(1),
    "halved": lambda x: x[:, ::2],
    "normed": lambda x: x - x.abs().mean(),
    "two": lambda x: (x, x),
    "list": lambda x: torch.cat(x, 1),
}


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_rectifier_of_any_name_becomes_relu6(name, runs):
    assert type(activation_for(Call(RECTIFIERS[name]), IMAGE, runs)) is nn.ReLU6


@pytest.mark.parametrize("name", GATES)
def test_a_gate_stays_where_it_runs_and_else_becomes_logistic(name):
    assert activation_for(Call(GATES[name]), IMAGE, runs=True) is None
    assert type(activation_for(Call(GATES[name]), IMAGE, runs=False)) is nn.Sigmoid


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_rectifier_stays_where_it_runs(name):
    assert activation_for(Call(OTHERS[name]), IMAGE, runs=True) is None


@pytest.mark.parametrize("name", ["same", "shifted", "pooled", "softmax", "halved", "normed"])
def test_what_does_not_work_value_by_value_is_no_activation(name):
    assert activation_for(Call(OTHERS[name]), IMAGE, runs=False) is None


def test_layers_with_parameters_are_no_activations():
    for layer in (nn.PReLU(), nn.BatchNorm2d(6).eval(), Conv(6, 6), nn.Conv2d(6, 6, 1), Cat()):
        assert activation_for(layer, IMAGE, runs=False) is None


def test_other_shapes():
    assert type(activation_for(nn.Tanh(), (1, 12), runs=False)) is nn.ReLU6
    assert type(activation_for(nn.SiLU(), (1, 3, 5), runs=False)) is nn.ReLU6
