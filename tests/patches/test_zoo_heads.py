"""The head that a zoo model gets in a fork: by what the fork has, and what its losses read."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
import torch
from small_fork import forget
from torch import nn

from synet.patches.declaration import Building, Fork
from synet.patches.target import only
from synet.patches.yolov5 import FAMILY
from synet.patches.zoo_heads import without_stems, zoo_head

ROW = [[13, 16], 1, "Detect", ["nc", "anchors"]]
HEADS = """
import copy
from torch import nn

class Detect(nn.Module):
    def __init__(self, nc=80, ch=()):
        super().__init__()
        self.nl = len(ch)
        self.cv2 = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, 8, 3, padding=1), nn.Conv2d(8, 4, 1)) for c in ch
        )

    def forward(self, x):
        return [branch(one) for branch, one in zip(self.cv2, x)]

class Twice(Detect):
    def __init__(self, nc=80, ch=()):
        super().__init__(nc, ch[: len(ch) // 2])

    def forward(self, x):
        return [super().forward(x[: self.nl]), super().forward(x[self.nl :])]

class EndToEnd(Detect):
    def forward(self, x):
        return {"one2many": super().forward(x), "one2one": super().forward(x)}

class Other(nn.Module):
    def __init__(self, width, ch=()):
        super().__init__()

class PlainLoss:
    def __call__(self, p, targets):
        return sum(x.mean() for x in p)

class DualLoss:
    def __call__(self, p, targets):
        return p[1][0] + p[1][1] if isinstance(p, tuple) else p[0] + p[1]

class KeyLoss:
    def __call__(self, preds, batch):
        return preds["one2many"] + preds["one2one"]

class Model:
    def init_criterion(self):
        return PlainLoss()

class EndToEndModel(Model):
    def init_criterion(self):
        return KeyLoss()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "heads_of_a_fork.py").write_text(HEADS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("heads_of_a_fork")
    forget(tmp_path)


def fork_of(module, tmp_path, model=None, without=()) -> Fork:
    builder = ModuleType("builder")
    names = {k: v for k, v in vars(module).items() if k not in without and k != "nn"}
    vars(builder).update(names)
    building = [Building("", model)] if model else []
    return Fork(builder, tmp_path, FAMILY, only("katana"), building=building)


def test_a_head_without_anchors_gets_none(module, tmp_path):
    assert zoo_head(fork_of(module, tmp_path), ROW) == [[13, 16], 1, "Detect", ["nc"]]


def test_a_head_with_anchors_gets_them(module, tmp_path):
    class Detect(module.Detect):
        def __init__(self, nc=80, anchors=(), ch=()):
            super().__init__(nc, ch)

    module.Detect = Detect
    assert zoo_head(fork_of(module, tmp_path), ROW) == ROW


def test_a_head_of_another_name(module, tmp_path):
    fork = fork_of(module, tmp_path, without=("Detect", "Twice"))
    assert zoo_head(fork, ROW)[2:] == ["EndToEnd", ["nc"]]


@pytest.mark.parametrize(
    ("loss", "source", "name"),
    [
        ("PlainLoss", [13, 16], "Detect"),
        ("DualLoss", [13, 16, 13, 16], "Twice"),
        ("KeyLoss", [13, 16], "EndToEnd"),
    ],
)
def test_the_head_that_the_loss_of_the_script_reads(
    module, tmp_path, monkeypatch, loss, source, name
):
    script = ModuleType("__main__")
    script.ComputeLoss = getattr(module, loss)
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert zoo_head(fork_of(module, tmp_path), ROW) == [source, 1, name, ["nc"]]


@pytest.mark.parametrize(("model", "name"), [("Model", "Detect"), ("EndToEndModel", "EndToEnd")])
def test_the_head_that_the_loss_of_the_model_reads(module, tmp_path, model, name):
    fork = fork_of(module, tmp_path, getattr(module, model))
    assert zoo_head(fork, ROW)[2] == name


def test_a_branch_keeps_the_convolution_that_it_ends_in(module):
    head = module.Detect(nc=2, ch=[16, 32])
    without_stems(head)
    shapes = [[tuple(conv.weight.shape) for conv in branch] for branch in head.cv2]
    assert shapes == [[(4, 16, 1, 1)], [(4, 32, 1, 1)]]
    maps = head([torch.zeros(1, 16, 4, 4), torch.zeros(1, 32, 2, 2)])
    assert [tuple(x.shape) for x in maps] == [(1, 4, 4, 4), (1, 4, 2, 2)]


def test_heads_of_single_convolutions_stay_as_they_are():
    head = nn.Module()
    head.m = nn.ModuleList([nn.Conv2d(8, 4, 1)])
    head.stem = nn.ModuleList([nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))])
    before = [head.m, head.stem]
    without_stems(head)
    assert [head.m, head.stem] == before
