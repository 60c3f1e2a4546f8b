"""Today's ultralytics under the patch: what is built, and that all of it can be undone."""

from __future__ import annotations

import importlib

import pytest
import torch
from patched import patched_fork
from torch import nn

from synet import layers
from synet.custom_patches import patch_custom, unpatch
from synet.models.locate import installed

ROOT = installed("ultralytics")


@pytest.fixture(scope="module")
def fork():
    yield patched_fork(ROOT, "katana")
    unpatch()


def build(fork, cfg: str):
    return fork.names["DetectionModel"](cfg, nc=3, verbose=False)


@pytest.mark.parametrize("cfg", ["yolov8n.yaml", "yolo11n.yaml", "yolo26n.yaml"])
def test_stock_models_come_out_safe_with_their_scales(fork, cfg):
    model = build(fork, cfg)
    kinds = {type(module) for module in model.modules()}
    assert not kinds & {nn.SiLU, nn.MaxPool2d, nn.Softmax}
    assert {kind for kind in kinds if kind.__name__ == "Conv"} == {layers.Conv}
    assert type(model.model[0][0]) is layers.Grayscale and model.synet["channels"] == 1
    assert model.model[0][1].conv.out_channels == 16  # n: a quarter of 64
    assert model.stride.tolist() == [8, 16, 32]
    model.eval()(torch.rand(1, 3, 64, 96))


def test_a_zoo_model_ends_in_the_forks_own_head(fork):
    model = build(fork, "katana-kvga.yaml")
    head = model.model[-1]
    assert type(head).__module__ == "ultralytics.nn.modules.head"
    assert [len(branch) for branch in (*head.cv2, *head.cv3)] == [1] * 6
    assert not hasattr(model, "anchors") and model.yaml["nc"] == 3
    raw = model.train()(torch.rand(1, 3, 64, 96))
    maps = raw if isinstance(raw, list) else raw["feats"]
    assert [tuple(x.shape[2:]) for x in maps] == [(8, 12), (4, 6), (2, 3)]


def test_everything_is_put_back(fork):
    tasks, conv = (
        importlib.import_module(f"ultralytics.nn.{n}") for n in ("tasks", "modules.conv")
    )
    assert tasks.Conv is layers.Conv and conv.DWConv.__base__ is layers.Conv
    unpatch()
    assert tasks.Conv is conv.Conv and conv.Conv.__module__ == conv.__name__
    assert conv.DWConv.__base__ is conv.Conv
    assert not [name for name in vars(tasks) if name.startswith("SyNet")]
    patch_custom("katana", roots=[ROOT])
    assert tasks.Conv is layers.Conv
