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


@pytest.fixture
def for_sabre(fork):
    """The same fork, whose models are built for another chip meanwhile."""
    with fork.aimed_at("sabre", "silu"):
        yield fork


def test_published_weights_find_the_network_that_they_were_trained_in(for_sabre):
    """With its own activation and padding it sees what the stock network sees, fused as well."""
    model, weights = build(for_sabre, "yolov8n.yaml").eval(), torch.Generator().manual_seed(0)
    assert model.synet == {
        "chip": "sabre",
        "channels": 3,
        "activation": "silu",
        "pads_alike": True,
    }
    kinds = {type(m) for m in model.modules()}
    assert not kinds & {nn.SiLU, nn.ReLU6, layers.Conv2d}
    for norm in [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.running_mean.normal_(0, 0.3, generator=weights)
        norm.running_var.uniform_(0.5, 2, generator=weights)
    unpatch()
    try:
        stock = build(for_sabre, "yolov8n.yaml").eval()
        stock.load_state_dict(model.state_dict())
        x = torch.rand(1, 3, 96, 128, generator=weights)
        with torch.no_grad():
            expected = stock(x)[0]
            found = [model(x)[0], model.fuse(verbose=False)(x)[0]]
    finally:
        patched_fork(ROOT, "katana")
    for y in found:
        assert (y - expected)[:, :4].abs().mean() < 0.05  # of 128 pixels
        torch.testing.assert_close(y[:, 4:], expected[:, 4:], atol=1e-3, rtol=0)


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
