"""Checkpoints that run nothing, and whose models are broken: each by one change to a sound one.

``CHECKPOINTS`` has the changes by name; `write` makes the file of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synet import layers
from synet.checkpoints.rows_network import Network

Change = Callable[[nn.Module, dict[str, Any]], Any]


def sound() -> Network:
    """A network of a few rows, as a YOLO has them, of layers of torch and SyNet alone."""
    torch.manual_seed(0)
    rows = [
        (-1, layers.Conv(3, 8, 3, 2)),
        (-1, nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())),
        (-1, nn.MaxPool2d(2)),
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 1], layers.Cat(1)),
        (-1, nn.Conv2d(16, 5, 1)),
    ]
    for index, (source, row) in enumerate(rows):
        row.i, row.f, row.type = index, source, type(row).__name__
    model = Network()
    model.model = nn.Sequential(*(row for _, row in rows))
    model.model[-1].stride_of_head = 8
    model.save = [1]
    model.yaml = {"nc": 2, "ch": 3, "backbone": [[-1, 1, "Conv", [8, 3, 2]]], "head": []}
    model.names, model.nc, model.stride = {0: "a", 1: "b"}, 2, torch.tensor([2.0])
    model.synet = {"chip": "katana", "channels": 3}
    return model.eval()


def write(path: Path, name: str) -> Path:
    """The checkpoint of that name, at `path`."""
    model = sound()
    content = {"model": model, "ema": None, "epoch": -1, "train_args": {"imgsz": 64}}
    CHECKPOINTS[name](model, content)
    torch.save(content, path)
    return path


def _note(**notes: Any) -> Change:
    return lambda model, content: content["train_args"].update(notes)


def _tell(**attributes: Any) -> Change:
    """Attributes of the model itself; None: taken away."""
    return lambda model, content: _set(model, attributes)


def _row(index: int, **attributes: Any) -> Change:
    return lambda model, content: _set(model.model[index], attributes)


def _layer(**attributes: Any) -> Change:
    """Attributes of a convolution."""
    return lambda model, content: _set(model.model[1][0], attributes)


def _set(thing: nn.Module, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        if value is GONE:
            vars(thing).pop(name)
        else:
            vars(thing)[name] = value


GONE = object()


def _weight(make: Callable[[torch.Tensor], Any]) -> Change:
    def change(model: nn.Module, content: dict[str, Any]) -> None:
        parameters = model.model[1][0]._parameters
        made = make(parameters["weight"].data)
        if isinstance(made, torch.Tensor):
            made = nn.Parameter(made, requires_grad=False)
        parameters["weight"] = made

    return change


def _without(part: str, name: str) -> Change:
    return lambda model, content: getattr(model.model[1][1], part).pop(name)


def _nested(depth: int) -> Change:
    def change(model: nn.Module, content: dict[str, Any]) -> None:
        inner = nn.Identity()
        for _ in range(depth):
            inner = nn.Sequential(inner)
        model.add_module("deep", inner)

    return change


def _doubled(model: nn.Module, content: dict[str, Any]) -> None:
    inner = nn.Identity()
    for _ in range(40):
        inner = nn.Sequential(nn.Sequential(inner), nn.Sequential(inner))
    model.add_module("doubled", inner)


def _cycle(model: nn.Module, content: dict[str, Any]) -> None:
    model.model[1].add_module("again", model)


def _empty(model: nn.Module, content: dict[str, Any]) -> None:
    model.model = nn.Sequential()


def _no_rows(model: nn.Module, content: dict[str, Any]) -> None:
    del model._modules["model"]


CHECKPOINTS: dict[str, Change] = {
    # what it was trained at
    **{
        f"image size {size!r}": _note(imgsz=size)
        for size in ([0, 0], ["a"], "a", math.nan, -1, 10**9, [64, math.inf], [1, 2, 3], True, {})
    },
    "old image size of text": _note(imgsz=None, img_size=["a", "b"]),
    # what the model tells of itself
    **{
        f"{name} {value!r}": _tell(**{name: value})
        for name, values in {
            "names": (5, [["a"]], {"a": "b"}, {0: None}, "ab", {0: "a", 1: "x" * 2000}),
            "yaml": (None, [], {"nc": "two"}, {"nc": -1}, {"nc": 2, "backbone": 5}),
            "nc": ("two", 0, -1, 10**9, None, math.nan),
            "save": (5, ["a"], [-1], None),
            "stride": ([], [0], [-8], ["a"], 5, [10**6], [math.nan]),
            "synet": (
                [],
                {},
                {"chip": 5},
                {"chip": "../../etc"},
                {"chip": "katana", "channels": 0},
            ),
        }.items()
        for value in values
        if not (name == "stride" and value == [])
    },
    "no classes at all": lambda model, content: _set(model, {"names": [], "yaml": {"ch": 3}}),
    # its tree
    "no rows": _no_rows,
    "empty Sequential": _empty,
    "module in itself": _cycle,
    "modules 150 deep": _nested(150),
    "modules without end": _doubled,
    # its rows
    **{f"row from {source!r}": _row(4, f=source) for source in (7, [-1, 9], "a", None, [], -9, 4)},
    "row of another number": _row(2, i=5),
    "row without a number": _row(2, i=GONE),
    # its layers
    **{
        f"{name} {value!r}": _layer(**{name: value})
        for name, values in {
            "stride": (0, "a", (1,), (1, 1, 1), None, (10**9, 1), (-1, -1), (1.5, 1.5)),
            "padding": ((10**6, 10**6), "other", (-1, -1)),
            "dilation": ((0, 0), [[1]], (10**9, 10**9)),
            "groups": (0, 3, "a"),
            "kernel_size": ((5, 5), (3,), "a"),
            "in_channels": (0, 7, "a"),
            "padding_mode": (5, "other"),
        }.items()
        for value in values
    },
    **{f"no {name}": _layer(**{name: GONE}) for name in ("stride", "padding", "groups")},
    "upsampled without end": lambda model, content: _set(model.model[3], {"scale_factor": 1e9}),
    "upsampled to text": lambda model, content: _set(model.model[3], {"scale_factor": "a"}),
    "pool of nothing": lambda model, content: _set(model.model[2], {"kernel_size": 0}),
    # its weights
    "weight of another shape": _weight(lambda weight: weight[:, :3].clone()),
    "weight without axes": _weight(lambda weight: torch.tensor(1.0)),
    "no weight": _weight(lambda weight: None),
    "whole weights": lambda model, content: _set_weight(model, torch.int32),
    "complex weights": lambda model, content: _set_weight(model, torch.complex64),
    "true weights": lambda model, content: _set_weight(model, torch.bool),
    "weight that is no number": _weight(lambda weight: weight * math.nan),
    "weight beyond all numbers": _weight(lambda weight: weight + math.inf),
    "no mean": _without("_buffers", "running_mean"),
    "no scale": _without("_parameters", "weight"),
    # attributes in place of methods
    **{
        f"{name} is data": _row(1, **{name: value})
        for name, value in {
            "forward": 5,
            "eval": None,
            "float": "a",
            "to": [],
            "named_modules": {},
            "_apply": 1,
            "train": True,
            "parameters": (),
            "register_forward_pre_hook": 0,
        }.items()
    },
    "training is text": lambda model, content: _set(model.model[1], {"training": "yes"}),
    # the checkpoint
    "model is text": lambda model, content: content.update(model="model"),
    "model is a tensor": lambda model, content: content.update(model=torch.zeros(2, 2)),
    "model is a state": lambda model, content: content.update(model=model.state_dict()),
    "ema is a number": lambda model, content: content.update(model=None, ema=5),
    "options are a list": lambda model, content: content.update(train_args=[1], model=None),
}


def _set_weight(model: nn.Module, dtype: torch.dtype) -> None:
    model.model[1][0]._parameters["weight"] = nn.Parameter(
        torch.ones(8, 8, 3, 3).to(dtype), requires_grad=False
    )
