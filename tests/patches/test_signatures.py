"""Forks whose convolution has a signature of its own: their rows, those of the zoo, our blocks."""

from __future__ import annotations

import importlib
import sys

import odd_fork
import pytest
from odd_convs import form
from small_fork import forget
from torch import nn

import synet
from synet import layers
from synet.custom_patches import patch_custom, unpatch

STRIDES = {"kernel": (1, 1), "stride": (2, 2)}
ZOO = """
synet: {chip: katana, image_shape: [32, 32]}
nc: 2
ch: 1
anchors: [[10, 13, 16, 30]]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 2, InvertedResidual, [8, 1, 2]]
  - [-1, 1, CSP, [8]]
  - [-1, 1, Conv, [16]]
head: [[[3], 1, Detect, [nc, anchors]]]
"""


@pytest.fixture(params=odd_fork.CONVS)
def fork(request, tmp_path, monkeypatch):
    """Which odd fork, its folder, and what imports its package, of a name of its own."""
    package = f"odd_{request.param}_models"
    odd_fork.write(tmp_path, request.param, package)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield (
        request.param,
        tmp_path,
        lambda name="yolo": importlib.import_module(f"{package}.{name}"),
    )
    unpatch()
    forget(tmp_path)


def convs(model: nn.Module) -> list[dict]:
    return [form(m) for m in model.modules() if {"conv", "act"} <= {*m._modules}]


def built(model: nn.Module) -> list[dict]:
    return [{k: v for k, v in each.items() if k != "channels"} for each in convs(model)]


@pytest.mark.parametrize("early", [True, False])
def test_own_rows_build_what_the_fork_builds(fork, early):
    which, folder, load = fork
    expected = built(load().Model(folder / "own.yaml"))
    assert {
        "kernel": (3, 3),
        "stride": (1 + (which == "stride"),) * 2,
        "groups": 1,
        "act": True,
    } == (expected[0])
    if not early:
        forget(folder)
    patch_custom("katana", roots=[folder])
    yolo = load()
    model = yolo.Model(folder / "own.yaml")
    assert built(model) == expected
    kinds = {type(m) for m in model.modules() if hasattr(m, "bn")}
    assert kinds == {layers.Conv, load("common").Narrow} and issubclass(
        load("common").Narrow, layers.Conv
    )
    unpatch()
    assert built(yolo.Model(folder / "own.yaml")) == expected
    assert layers.Conv not in {type(m) for m in yolo.Model(folder / "own.yaml").modules()}


def test_rows_of_the_zoo_are_in_our_order(fork):
    _, folder, load = fork
    (folder / "zoo.yaml").write_text(ZOO)
    patch_custom("katana", roots=[folder])
    model = load().Model(folder / "zoo.yaml")
    stem, blocks, csp, last, _ = model.model
    assert form(stem[-1]) == form(layers.Conv(1, 8, 3, 2)) and form(last) == form(
        layers.Conv(8, 16)
    )
    assert str(blocks) == str(nn.Sequential(*(layers.InvertedResidual(8, 8, 1, 2),) * 2))
    assert str(csp) == str(layers.CSP(8, 8))


def test_the_summary_says_what_the_yaml_says(fork):
    which, folder, load = fork
    (folder / "zoo.yaml").write_text(ZOO)
    patch_custom("katana", roots=[folder])
    yolo = load()
    kinds = [row.type for row in yolo.Model(folder / "zoo.yaml").model]
    assert kinds == ["Conv", "InvertedResidual", "CSP", "Conv", f"{yolo.__name__}.Detect"]
    name = odd_fork.CONVS[which][0]
    own = [row.type for row in yolo.Model(folder / "own.yaml").model]
    assert own[0] == own[2] == name and own[1] == f"{load('common').__name__}.Pair"
    assert str(yolo.__dict__[name]) == "<class 'Conv'>"


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("katana-kqvga", {"Grayscale", "Conv", "InvertedResidual", "SPPF", "Concat", "Detect"}),
        ("sabre-detect-qvga", {"Conv", "CSP", "SPPF", "Concat"}),
    ],
)
def test_models_of_the_zoo_show_what_their_yamls_say(model, kinds):
    shown = {row.type for row in synet.get_model(model).model}
    assert shown >= kinds and not [kind for kind in shown if "synet" in kind]


def test_two_odd_forks_in_one_process(tmp_path, monkeypatch):
    for which in odd_fork.CONVS:
        odd_fork.write(tmp_path / which, which, f"both_{which}")
        monkeypatch.syspath_prepend(str(tmp_path / which))
    try:
        patch_custom("katana", roots=[tmp_path / which for which in odd_fork.CONVS])
        one, two = (
            importlib.import_module(f"both_{which}.yolo").Model(tmp_path / which / "own.yaml")
            for which in odd_fork.CONVS
        )
        assert [each["kernel"] for each in convs(one)] == [(3, 3), (3, 3), (3, 3), (1, 1)]
        assert [each["stride"] for each in convs(one)] == [(1, 1)] * 4
        assert [each["kernel"] for each in convs(two)] == [(3, 3), (3, 3), (3, 3), (1, 1)]
        assert [each["stride"] for each in convs(two)] == [(2, 2)] + [(1, 1)] * 3
    finally:
        unpatch()
        forget(tmp_path)
    assert not [name for name in sys.modules if name.startswith("both_")]
