from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from keras_twin import Call, assert_same, draw
from torch import nn

from synet.checkpoints.read import read
from synet.layers.clip import clip_activations, is_clipped
from synet.system.errors import CheckpointError


def clipped(function):
    module = Call(function)
    clip_activations(module)
    return module


@pytest.mark.parametrize(
    "function",
    [
        *(F.relu, torch.relu, F.silu, F.mish, F.gelu, F.elu, F.hardswish, F.softplus, F.hardtanh),
        *(lambda x: x.relu(), lambda x: F.leaky_relu(x, 0.3), lambda x: F.selu(x)),
        lambda x: F.prelu(x, torch.tensor([0.2])),
    ],
)
def test_every_rectifier_is_relu6(function):
    x = draw(1, 4, 7, 9, low=-9, high=9)
    module = clipped(function)
    assert torch.equal(module(x), F.relu6(x))
    assert_same(module, x)
    assert not torch.equal(function(x), F.relu6(x))


@pytest.mark.parametrize(
    "function", [lambda x: x.relu_(), torch.relu_, lambda x: F.silu(x, inplace=True)]
)
def test_in_place_stays_in_place(function):
    def then_both(x):
        x = x + 0
        return function(x), x

    module, x = clipped(then_both), draw(1, 4, 7, 9, low=-9, high=9)
    result, argument = module(x)
    assert torch.equal(result, argument) and torch.equal(result, F.relu6(x))
    assert_same(module, x)


@pytest.mark.parametrize("function", [torch.sigmoid, torch.tanh, F.relu6, lambda x: x + 1])
def test_everything_else_is_as_it_was(function):
    x = draw(1, 4, 7, 9)
    assert torch.equal(clipped(function)(x), function(x))


def test_what_is_within_is_clipped_too_and_what_is_not_is_not():
    inner = nn.Sequential(Call(F.relu))
    clip_activations(inner)
    assert is_clipped(inner) and not is_clipped(inner[0])
    x = torch.tensor([9.0])
    assert inner(x) == 6 and inner[0](x) == 9 and F.relu(x) == 9


def test_an_error_within_ends_it():
    def fail(x):
        raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        clipped(fail)(torch.zeros(1))
    assert F.relu(torch.tensor(9.0)) == 9


def test_threads_do_not_see_each_other():
    seen = []

    def look(x):
        other = threading.Thread(target=lambda: seen.append(float(F.relu(x))))
        other.start()
        other.join()
        return F.relu(x)

    assert clipped(look)(torch.tensor(9.0)) == 6
    assert seen == [9.0]


def test_it_trains():
    module, x = clipped(F.relu), torch.tensor([-1.0, 2.0, 9.0], requires_grad=True)
    module(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_a_process_that_never_clipped_reads_them_too(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 2, 1))
    clip_activations(module)
    torch.save({"model": module}, tmp_path / "best.pt")
    code = "import sys; from synet.checkpoints.read import read; print(read(sys.argv[1])['model'])"
    command = [sys.executable, "-c", code, str(tmp_path / "best.pt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "Conv2d" in done.stdout, done.stderr


def test_a_mode_that_is_entered_and_not_left_is_no_models(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 2, 1))
    clip_activations(module)
    module._forward_hooks.clear()
    module._forward_hooks_always_called.clear()
    torch.save({"model": module}, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="fills a torch.nn.modules.container.Sequential as"):
        read(tmp_path / "best.pt")
