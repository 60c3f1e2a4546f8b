"""Functions of forks, mended: each answers an error that is seen here first."""

from __future__ import annotations

import logging

import pytest
import torch
import wrapt

from synet.patches.repairs.fork_functions import FORK_REPAIRS

WRAPPERS = {repair.name: repair.wrapper for repair in FORK_REPAIRS}


def wrapped(name, function):
    return wrapt.FunctionWrapper(function, WRAPPERS[name])


def forbidden(*args, **kwargs):
    raise AssertionError("the fork's own function was called")


def test_check_requirements_tells_and_installs_nothing(tmp_path, caplog):
    file = tmp_path / "requirements.txt"
    file.write_text("numpy>=1.0\nno-such-package>=2\nnumpy<0.5\nexcluded-package\n")

    def check_requirements(requirements=file, exclude=(), install=True, cmds=""):
        forbidden()

    check = wrapped("requirements", check_requirements)
    with caplog.at_level(logging.WARNING, logger="synet"):
        assert check(exclude=("excluded-package",)) is False
    (record,) = caplog.records
    assert "no-such-package>=2 (not installed)" in record.getMessage()
    assert 'pip install "no-such-package>=2" "numpy<0.5"' in record.getMessage()
    assert "excluded-package" not in record.getMessage()
    assert check("numpy>=1.0") is True
    assert check(("numpy", "torch>=1.7"), install=True) is True
    assert check([("no-such-package", "numpy")]) is True  # alternatives
    assert check("git+https://github.com/some/where.git") is True
    assert check(tmp_path / "missing.txt") is True


def test_check_git_status_asks_nobody():
    assert wrapped("git_status", forbidden)(repo="a/b") is None


def test_check_git_info_without_gitpython_or_origin():
    def no_git(path="."):
        raise ModuleNotFoundError("No module named 'git'")

    def no_origin(path="."):
        raise AttributeError("No item found with id origin")

    nothing = {"remote": None, "branch": None, "commit": None}
    assert wrapped("git_info", no_git)() == nothing
    assert wrapped("git_info", no_origin)() == nothing
    assert wrapped("git_info", lambda path=".": {"remote": "r"})() == {"remote": "r"}


def test_hub_is_asked_only_for_what_is_not_here(tmp_path):
    (tmp_path / "best.pt").touch()
    ask = wrapped("hub", lambda repo_id, hf_token=None: f"asked for {repo_id}")
    assert ask(str(tmp_path / "best.pt"), hf_token=None) is None
    assert ask("") is None
    assert ask(repo_id="some/model") == "asked for some/model"


def test_biases_are_set_outside_of_what_is_differentiated():
    weight = torch.nn.Parameter(torch.zeros(6))

    def _initialize_biases(value):
        weight.view(2, 3)[:, 1] += value

    with pytest.raises(RuntimeError, match="leaf Variable"):
        _initialize_biases(1)
    wrapped("leaf_inplace", _initialize_biases)(1)
    assert weight.tolist() == [0, 1, 0, 0, 1, 0] and weight.requires_grad


def test_a_depthwise_convolution_is_fused():
    def fuse_conv_and_bn(conv, bn):
        fused = torch.nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size)
        weight = torch.mm(torch.diag(bn.weight), conv.weight.flatten(1))
        fused.weight.data.copy_(weight.view(fused.weight.size()))
        return fused

    conv, bn = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
            tensor.uniform_(0.5, 1.5)
    with pytest.raises(RuntimeError, match="is invalid for input of size"):
        fuse_conv_and_bn(conv, bn.eval())
    fused, x = wrapped("fuse_groups", fuse_conv_and_bn)(conv, bn), torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(fused(x), bn(conv(x)))
    assert not any(p.requires_grad for p in fused.parameters())
