"""A checkpoint loads where the fork that made it is not, if it needs none of its layers."""

from __future__ import annotations

import importlib
import sys
import types

import pytest
import torch
from torch import nn

from synet.checkpoints import read as checkpoint
from synet.checkpoints.rows_network import Network
from synet.system.errors import CheckpointError

NET = """
from types import SimpleNamespace

import torch
from torch import nn


class Foo(nn.Module):
    def forward(self, x):
        kept = []
        for row in self.model:
            if row.f != -1:
                x = kept[row.f] if isinstance(row.f, int) else [
                    x if f == -1 else kept[f] for f in row.f
                ]
            x = row(x)
            kept.append(x if row.i in self.save else None)
        return x


class Options(SimpleNamespace):
    def __getattr__(self, name):
        raise AttributeError(f"no option {name}")

    def __iter__(self):
        return iter(vars(self).items())


class Loss:
    def __init__(self, model):
        self.model = model
        self.weights = [torch.ones(2)]
        self.part = LossPart()


class LossPart(nn.Module):
    pass


class Block(nn.Module):
    def forward(self, x):
        return x * 2
"""


@pytest.fixture
def private(tmp_path, monkeypatch):
    """A fork whose modules lie in a package of its own, and how it comes and goes."""
    name = f"private_t{abs(hash(tmp_path)) % 10**10}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("from .net import Foo\n")
    (tmp_path / name / "net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)

    def leave():
        monkeypatch.setattr(sys, "path", [x for x in sys.path if x != str(tmp_path)])
        for module in [module for module in sys.modules if module.startswith(name)]:
            del sys.modules[module]

    net = importlib.import_module(f"{name}.net")
    yield types.SimpleNamespace(net=net, name=name, root=tmp_path / name, leave=leave)
    leave()


def model_of(private, *extra: nn.Module) -> nn.Module:
    from synet import layers

    torch.manual_seed(0)
    rows = [
        (-1, layers.Conv(1, 4, 3, 2)),
        (-1, layers.InvertedResidual(4, 8, 2, 2)),
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 0], layers.Cat(1)),
        (0, layers.Conv(4, 6, 1)),
        ([-2, -1], layers.Cat(1)),
        *((-1, layer) for layer in extra),
    ]
    for index, (source, row) in enumerate(rows):
        row.i, row.f, row.type = index, source, type(row).__name__
    rows[-1][1].stride = torch.tensor([8.0])
    model = private.net.Foo()
    model.model = nn.Sequential(*(row for _, row in rows))
    model.save = [0, 3]
    model.yaml = {"nc": 2, "backbone": [[-1, 1, "Conv", [4]]]}
    model.names, model.nc, model.stride = {0: "a", 1: "b"}, 2, torch.tensor([8.0])
    model.synet = {"chip": "katana", "channels": 1}
    model.args = private.net.Options(imgsz=96)
    model.criterion = private.net.Loss(model)
    return model.eval()


def test_a_model_runs_without_its_fork(private, tmp_path):
    model, image = model_of(private), torch.rand(2, 1, 24, 32)
    with torch.no_grad():
        wanted = model(image)
    torch.save({"model": None, "ema": model, "epoch": 3}, tmp_path / "best.pt")
    private.leave()
    content = checkpoint.read(tmp_path / "best.pt", forkless=True)
    assert content["epoch"] == 3
    found = content["ema"]
    assert type(found) is Network
    assert not [name for name in sys.modules if name.startswith(private.name)]
    with torch.no_grad():
        assert torch.equal(found(image), wanted)
    for name in ("yaml", "names", "nc", "stride", "synet", "save"):
        assert getattr(found, name) == getattr(model, name)
    assert found.args == types.SimpleNamespace(imgsz=96)
    assert not hasattr(found, "criterion")
    torch.save(found, tmp_path / "again.pt")
    assert type(checkpoint.read(tmp_path / "again.pt")["model"]) is Network


def test_with_its_fork_a_model_is_the_forks(private, tmp_path):
    torch.save(model_of(private), tmp_path / "best.pt")
    for forkless in (True, False):
        found = checkpoint.read(tmp_path / "best.pt", [private.root], forkless=forkless)["model"]
        assert type(found) is private.net.Foo
        assert type(found.args) is private.net.Options
        assert found.args == private.net.Options(imgsz=96)
        assert not hasattr(found, "criterion")


def test_a_package_may_pass_a_class_on(private, tmp_path):
    """As today's ``ultralytics.nn.modules`` does, which was one file when old models were saved."""
    private.net.Foo.__module__ = private.name
    torch.save(model_of(private), tmp_path / "best.pt")
    for module in [module for module in sys.modules if module.startswith(private.name)]:
        del sys.modules[module]
    found = checkpoint.read(tmp_path / "best.pt", [private.root])["model"]
    assert type(found).__module__ == f"{private.name}.net"


def test_layers_of_the_fork_are_named(private, tmp_path):
    torch.save({"model": model_of(private, private.net.Block())}, tmp_path / "best.pt")
    private.leave()
    with pytest.raises(CheckpointError, match=rf"needs {private.name}\.net\.Block of .*--repo"):
        checkpoint.read(tmp_path / "best.pt", forkless=True)
    with pytest.raises(CheckpointError, match=rf"names {private.name}\.net\.Block.*--repo"):
        checkpoint.read(tmp_path / "best.pt")


def test_a_model_without_rows_is_named(private, tmp_path):
    model = private.net.Foo()
    model.model, model.save = nn.Sequential(nn.Conv2d(1, 1, 1)), []
    torch.save(model, tmp_path / "best.pt")
    private.leave()
    with pytest.raises(CheckpointError, match=rf"needs {private.name}\.net\.Foo of"):
        checkpoint.read(tmp_path / "best.pt", forkless=True)


def test_a_borrowed_forward_of_the_fork_is_named(private, tmp_path):
    model = model_of(private)
    model.model[0].detect = private.net.Block.forward
    torch.save(model, tmp_path / "best.pt")
    private.leave()
    with pytest.raises(CheckpointError, match=rf"needs {private.name}\.net\.Block of"):
        checkpoint.read(tmp_path / "best.pt", forkless=True)


def test_strides_of_a_head_go_along(private, tmp_path):
    torch.save(model_of(private).half(), tmp_path / "best.pt")
    private.leave()
    found = checkpoint.read(tmp_path / "best.pt", forkless=True)["model"]
    found.model[-1].anchor_grid = [torch.zeros(1), torch.zeros(2)]
    found.double()
    head = found.model[-1]
    assert {x.dtype for x in (head.stride, *head.anchor_grid)} == {torch.float64}
