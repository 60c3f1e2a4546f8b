"""Checkpoints that SyNet's patch has never seen: the fork's own network, to the last digit."""

from __future__ import annotations

import copy
import importlib
import sys
import types
from pathlib import Path

import pytest
import stock_yolov5
import tiny_ultralytics
import torch
from click.testing import CliRunner
from torch import nn

import synet
from synet.checkpoints.older import renew
from synet.checkpoints.state_dicts import state_in
from synet.cli import main
from synet.custom_patches import patch_custom, unpatch
from synet.layers.conv import Conv
from synet.layers.heads import run_network
from synet.models.trained import chip_for, is_as_trained
from synet.patches import patch_ultralytics
from synet.system.errors import CheckpointError, PatchError

IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
SMALL = """
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30], [30, 61, 62, 45]]
backbone: [[-1, 1, Conv, [8, 6, 2, 2]], [-1, 1, Conv, [8, 3, 2]], [-1, 1, C3, [8]]]
head: [[-1, 1, DWConv, [16, 3, 2]], [-1, 1, nn.Upsample, [None, 2, nearest]],
  [[-1, 2], 1, Concat, [1]],
  [[5, 3], 1, HEAD]]
"""
HEADS = {"Model": "Detect, [nc, anchors]", "SegmentationModel": "Segment, [nc, anchors, 4, 8]"}


def settled(model: nn.Module) -> nn.Module:
    """With statistics by which padding and activation would show."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return model.eval().requires_grad_(False)


def outputs(model: nn.Module) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(_tensors(model(IMAGE)))


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def assert_alike(found: nn.Module, wanted: nn.Module) -> None:
    """They give the same, as they are and fused."""
    torch.testing.assert_close(outputs(found), outputs(wanted), rtol=1e-6, atol=1e-6)
    fused, wanted = (copy.deepcopy(model).fuse() for model in (found, wanted))
    torch.testing.assert_close(outputs(fused), outputs(wanted), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())


def stock(task: str) -> nn.Module:
    """Of ultralytics, before any patch, as half precision leaves it."""
    unpatch()
    return settled(tiny_ultralytics.network(task)).half().float()


def written(model: nn.Module, path: Path, how: str = "stripped") -> Path:
    half = copy.deepcopy(model).half()
    notes = {"train_args": {"imgsz": 96, "task": "detect"}, "epoch": -1}
    content = {
        "stripped": notes | {"model": half, "ema": None},
        "average": notes | {"model": None, "ema": half, "updates": 3},
        "whole": half,
    }
    torch.save(content[how], path)
    return path


@pytest.fixture
def small(tmp_path):
    """A function that builds a network of a class of the installed yolov5."""

    def build(kind: str = "Model") -> nn.Module:
        cfg = tmp_path / f"{kind.lower()}.yaml"
        cfg.write_text(SMALL.replace("HEAD", HEADS[kind]))
        torch.manual_seed(0)
        model = getattr(stock_yolov5.yolo(), kind)(str(cfg))
        model.names = ["square", "disc"]
        return settled(model).half().float()

    return build


# ------------------------------------------------------------------------------------ ultralytics


@pytest.mark.parametrize("task", tiny_ultralytics.HEADS)
def test_networks_of_every_task(task, tmp_path):
    wanted = stock(task)
    found = synet.get_model(written(wanted, tmp_path / "best.pt"))
    assert_alike(found, wanted)
    assert is_as_trained(found) and found.synet == {"chip": None, "channels": 3}
    assert found.image_shape == (96, 96) and found.trained_by == "ultralytics"
    assert run_network(found, IMAGE)


@pytest.mark.parametrize("how", ["average", "whole"])
def test_checkpoints_of_every_kind(how, tmp_path):
    wanted = stock("detect")
    assert_alike(synet.get_model(written(wanted, tmp_path / "best.pt", how)), wanted)


def test_a_script_under_the_patch_gets_the_network_as_it_was_trained(tmp_path):
    """Fused as well, which a class that was derived from a swapped one would do our way."""
    wanted = stock("detect")
    tasks = importlib.import_module("ultralytics.nn.tasks")
    own = tasks.Conv
    wanted.model[1] = copy.deepcopy(wanted.model[1])
    depthwise = tasks.DWConv(8, 8, 3, 2)
    depthwise.i, depthwise.f, depthwise.type, depthwise.np = 1, -1, "DWConv", 0
    wanted.model[1] = settled(depthwise)
    path = written(wanted.half().float(), tmp_path / "best.pt")
    fused = outputs(copy.deepcopy(wanted).fuse())
    patch_ultralytics()
    found = importlib.import_module("ultralytics").YOLO(path).model.float().eval()
    assert (
        type(found.model[0]) is own
        and isinstance(found.model[0], tasks.Conv)
        and tasks.Conv is not own
    )
    torch.testing.assert_close(outputs(found), outputs(wanted))
    torch.testing.assert_close(outputs(copy.deepcopy(found).fuse()), fused, rtol=1e-5, atol=1e-5)
    assert type(synet.get_model(path).model[0]) is own
    unpatch()
    assert not isinstance(found.model[0], Conv)


def test_fine_tuning_under_the_patch_takes_over_every_weight(tmp_path):
    path = written(stock("detect"), tmp_path / "best.pt")
    patch_ultralytics()
    start = torch.load(path, weights_only=False)["model"].float()
    built = importlib.import_module("ultralytics.nn.tasks").DetectionModel(
        start.yaml, verbose=False
    )
    assert any(isinstance(m, Conv) for m in built.modules())
    assert {*start.state_dict()} == {*built.state_dict()}


# ----------------------------------------------------------------------------------------- yolov5


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("clone", [False, True], ids=["package", "clone"])
def test_networks_of_yolov5(kind, clone, small, tmp_path, monkeypatch):
    """A clone calls ``models.yolo`` what is ``yolov5.models.yolo`` in the installed package."""
    wanted = small(kind)
    with monkeypatch.context() as renamed:
        packages = ("yolov5.models", "yolov5.models.yolo", "yolov5.models.common")
        for name in packages if clone else ():
            module = sys.modules[name]
            renamed.setitem(sys.modules, name.removeprefix("yolov5."), module)
            for each in [v for v in vars(module).values() if getattr(v, "__module__", "") == name]:
                if isinstance(each, type):
                    renamed.setattr(each, "__module__", name.removeprefix("yolov5."))
        path = written(wanted, tmp_path / "best.pt")
    assert_alike(synet.get_model(path), wanted)
    assert "models.common" not in sys.modules


def test_under_a_lasting_patch_yolov5_is_as_it_was_trained(small, tmp_path):
    wanted = small()
    path = written(wanted, tmp_path / "best.pt")
    expected = outputs(wanted), outputs(copy.deepcopy(wanted).fuse())
    patch_custom("katana")
    found = synet.get_model(path)
    fused = copy.deepcopy(found).fuse()
    for model, numbers in zip((found, fused), expected, strict=True):
        torch.testing.assert_close(outputs(model), numbers, rtol=1e-5, atol=1e-5)
    assert not any(type(module).__module__.startswith("synet.") for module in found.modules())


def test_a_process_that_is_repaired_alone_reads_them(small, tmp_path):
    wanted = small()
    path = written(wanted, tmp_path / "best.pt")
    patch_custom(None)
    assert_alike(synet.get_model(path), wanted)


def test_what_was_saved_before_attributes_came(small):
    model = small()
    head, upsample = model.model[-1], model.model[4]
    wanted = outputs(model)
    head.grid = [grid + 0.5 for grid in head.grid]  # as up to YOLOv5 v6.1
    del upsample.recompute_scale_factor, head.anchor_grid
    head.register_buffer("anchor_grid", torch.zeros(2, 1, 2, 1, 1, 2))  # as up to v5.0
    renew(model)
    torch.testing.assert_close(outputs(model), wanted)


def test_the_chip_that_judges_it_is_one_for_its_images(small, tmp_path):
    assert chip_for(synet.get_model(written(small(), tmp_path / "best.pt"))).image_channels == 3


# ------------------------------------------------------------------------------------ state dicts


@pytest.mark.parametrize("place", ["", "model", "ema", "state_dict"])
def test_state_dicts_are_found(place):
    state = {"module.0.weight": torch.zeros(1), "module.0.bias": torch.zeros(1)}
    found = state_in({place: state, "epoch": 3} if place else state)
    assert found is not None and [*found] == ["0.weight", "0.bias"]
    assert state_in({"epoch": 3, "model": None}) is None


def test_a_state_dict_is_filled_into_the_network_of_its_yaml(small, tmp_path):
    wanted, path = small(), tmp_path / "best.pt"
    torch.save({"model": wanted.state_dict()}, path)
    with pytest.raises(CheckpointError, match=r"best\.pt: is a state dict, .*\(--cfg\)$"):
        synet.get_model(path)
    cfg = tmp_path / "model.yaml"
    found = synet.get_model(path, cfg=cfg)
    assert is_as_trained(found)
    assert_alike(found, wanted)
    told = CliRunner().invoke(main, ["sparsity", str(path), "--cfg", str(cfg)])
    assert told.exit_code == 0, told.output
    patch_custom("katana")
    with pytest.raises(PatchError, match=r"patched for katana; call unpatch\(\)"):
        synet.get_model(path, cfg=cfg)


def test_a_state_dict_of_another_network(small, tmp_path):
    state = small().state_dict()
    del state["model.0.conv.weight"]
    state["model.1.conv.weight"] = torch.zeros(4, 4, 3, 3)
    torch.save(state | {"model.9.more": torch.zeros(1)}, tmp_path / "best.pt")
    told = (
        r"lacks model\.0\.conv\.weight; has besides model\.9\.more; has of other sizes model\.1\."
    )
    with pytest.raises(CheckpointError, match=told):
        synet.get_model(tmp_path / "best.pt", cfg=tmp_path / "model.yaml")


# ------------------------------------------------------------------------------------ wrong files


def _of_a_class_that_nobody_has(path: Path) -> None:
    module = types.ModuleType("their.layers")
    exec("from torch import nn\nclass Block(nn.Module):\n    pass", vars(module))
    module.Block.__module__ = module.__name__
    sys.modules["their"] = sys.modules["their.layers"] = module
    try:
        torch.save({"model": nn.Sequential(module.Block())}, path)
    finally:
        del sys.modules["their"], sys.modules["their.layers"]


WRONG = {
    "empty": (lambda path: path.touch(), r"it is empty"),
    "TorchScript": (
        lambda path: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))).save(path),
        r"is a TorchScript file, which is code; give the \.pt it was made from",
    ),
    "ONNX": (
        lambda path: path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.0.0" + bytes(64)),
        r"it looks like an ONNX file; give the \.pt it was made from",
    ),
    "TFLite": (
        lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64)),
        r"it looks like a TFLite file",
    ),
    "nobody's class": (_of_a_class_that_nobody_has, r"needs their\.layers\.Block .*\(--repo DIR\)"),
    "no YOLO": (lambda path: torch.save(nn.Sequential(nn.ReLU()), path), r"holds no YOLO model"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_wrong_files_are_told_in_a_line(kind, tmp_path):
    write, told = WRONG[kind]
    write(tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=told) as caught:
        synet.get_model(tmp_path / "best.pt")
    assert "best.pt" in str(caught.value) and "\n" not in str(caught.value)
