"""Whether a checkpoint's model is whole: its types are checked once, where it is opened."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synet.checkpoints.first_pass import first_pass
from synet.checkpoints.older import renew
from synet.checkpoints.rows_network import is_row
from synet.checkpoints.rules import HEAD, IMAGE_SIZE, LAYERS, MODEL, Rule, shapes
from synet.checkpoints.state_dicts import state_in
from synet.system.errors import CheckpointError
from synet.system.text import first_line

_DEEPEST, _MOST = 100, 100_000  # modules in one another, and in all


class UnsoundError(Exception):
    """A model is not whole; says where and why."""


def trained_model(content: Mapping[str, Any], weights: str | Path) -> nn.Module:
    """The model of a checkpoint, in eval mode and float32.

    Parameters
    ----------
    content
        Of the checkpoint, as `synet.checkpoints.read.read` gives it.
    weights
        Its file, for errors.

    Returns
    -------
    The EMA model where there is one. It has run once, on a small image. One that was trained
    without the patch says so: the chip that its ``synet`` names is None.

    Raises
    ------
    CheckpointError
        Not a whole model, or one that is broken.
    """
    model = _model_in(content)
    if model is None and state_in(content) is not None:
        raise CheckpointError(
            f"{weights}: is a state dict, numbers without a network; name the yaml that it was "
            "built from (--cfg)"
        )
    if model is None or not (hasattr(model, "yaml") or _has_rows(model)):
        raise CheckpointError(f"{weights}: holds no YOLO model under 'model' or 'ema'")
    try:
        if not hasattr(model, "yaml"):  # YOLOv5's classifiers are cut out of a network
            model.yaml = {}
        sizes = [noted_size(content.get(part), part) for part in ("opt", "train_args")]
        check_model(model)
        renew(model)
        model = model.float().eval()
        if not hasattr(model, "synet"):
            model.synet = {"chip": None, "channels": _channels(model)}
        first_pass(model, [(x, x) if isinstance(x, int) else x for x in sizes if x])
    except CheckpointError as error:
        raise CheckpointError(f"{weights}: {error}") from error
    except Exception as error:  # a model may be broken in any way
        what = "is broken" if isinstance(error, UnsoundError) else "cannot be used"
        raise CheckpointError(f"{weights}: its model {what}: {first_line(error)}") from error
    return model


def built_for(content: Mapping[str, Any], weights: str | Path) -> dict[str, Any]:
    """What a checkpoint's model was built for: ``chip``, ``channels``, ``activation``.

    Empty where it does not say so.

    Raises
    ------
    CheckpointError
        It says so with what is no name.
    """
    noted = getattr(_model_in(content), "synet", None)
    fits, wanted = MODEL["synet"]
    if noted is not None and not fits(noted):
        raise CheckpointError(f"{weights}: its model's synet is {_shown(noted)}, not {wanted}")
    return dict(noted or {})


def noted_size(notes: Any, place: str) -> int | tuple[int, ...] | None:
    """The image size in the options of a training, if there is one: a number, or both sides.

    Parameters
    ----------
    notes
        A mapping or a namespace; of another kind, it notes nothing.
    place
        What to call it in an error.

    Raises
    ------
    CheckpointError
        It is no size.
    """
    notes = vars(notes) if isinstance(notes, argparse.Namespace) else notes
    if not isinstance(notes, Mapping):
        return None
    key = "imgsz" if notes.get("imgsz") is not None else "img_size"
    size = notes.get(key)
    fits, wanted = IMAGE_SIZE
    if not fits(size):
        raise CheckpointError(f"{place}: {key} is {_shown(size)}, not {wanted}")
    if isinstance(size, (list, tuple)):  # old forks: of training and of testing
        return tuple(size) if key == "imgsz" and len(size) == 2 else size[0]
    return size


def check_model(model: nn.Module) -> None:
    """See that a model, and each layer of it, is what torch and a YOLO take it for.

    Raises
    ------
    UnsoundError
        It is not.
    """
    _check_tree(model)
    _check("model", model, {name: rule for name, rule in MODEL.items() if hasattr(model, name)})
    if not getattr(model, "names", None) and not model.yaml.get("nc"):
        raise UnsoundError("it tells neither its classes nor how many they are")
    for name, layer in model.named_modules():
        _check_layer(name or "model", layer)
    rows = getattr(model, "model", None)
    if isinstance(rows, (nn.Sequential, nn.ModuleList)):
        _check_rows(rows)


def _model_in(content: Mapping[str, Any]) -> nn.Module | None:
    found = [content.get(name) for name in ("ema", "model")]
    return next((model for model in found if isinstance(model, nn.Module)), None)


def _has_rows(model: nn.Module) -> bool:
    rows = getattr(model, "model", None)
    return isinstance(rows, nn.Sequential) and all(is_row(vars(row)) for row in rows)


def _channels(model: nn.Module) -> int:
    """Channels of the image that a network takes which was trained without the patch."""
    return model.yaml.get("ch") or model.yaml.get("channels") or 3


def _check(place: str, thing: Any, rules: Mapping[str, Rule]) -> None:
    for name, (fits, wanted) in rules.items():
        if not hasattr(thing, name):
            if name.startswith("_"):
                continue
            raise UnsoundError(f"{place} has no {name}")
        value = getattr(thing, name)
        if not fits(value):
            raise UnsoundError(f"{place}: its {name} is {_shown(value)}, not {wanted}")


def _shown(value: Any) -> str:
    simple = isinstance(value, (int, float, str, type(None)))
    if isinstance(value, (tuple, list)) and len(value) <= 8:
        return f"({', '.join(map(_shown, value))})" if all(x is not value for x in value) else "?"
    return ascii(value)[:60] if simple else f"a {type(value).__name__}"


# ------------------------------------------------------------------------------------ the tree


def _check_tree(model: nn.Module) -> None:
    """See that no module lies in itself, nor so many in one another that a walk has no end."""
    sizes: dict[int, int] = {}

    def size(module: nn.Module, above: frozenset[int], place: str) -> int:
        if id(module) in above:
            raise UnsoundError(f"{place} lies in itself")
        if len(above) > _DEEPEST:
            raise UnsoundError(f"its modules lie more than {_DEEPEST} deep in one another")
        if id(module) not in sizes:
            within = above | {id(module)}
            sizes[id(module)] = 1 + sum(
                size(child, within, f"{place}.{name}" if place else name)
                for name, child in module._modules.items()
                if child is not None
            )
        if sizes[id(module)] > _MOST:
            raise UnsoundError(f"it has more than {_MOST} modules")
        return sizes[id(module)]

    size(model, frozenset(), "")


def _check_layer(place: str, layer: nn.Module) -> None:
    for name in _methods(type(layer)).intersection(vars(layer)):
        value = vars(layer)[name]  # fusing puts one forward in place of another
        if not inspect.isroutine(value):
            raise UnsoundError(f"{place}: its {name} is {_shown(value)}, not a method")
    if type(vars(layer).get("training", True)) is not bool:
        raise UnsoundError(f"{place}: its training is {_shown(layer.training)}, not True or False")
    for name, tensor in (layer._parameters | layer._buffers).items():
        if tensor is not None:
            _check_tensor(f"{place}.{name}", tensor, name in layer._parameters)
    kind = next((kind for kind in type(layer).__mro__ if kind in LAYERS), None)
    if kind is None:
        return
    rules = LAYERS[kind]
    if type(layer) is not kind:  # what a fork derived from it may lack, or do otherwise
        rules = {name: rule for name, rule in rules.items() if hasattr(layer, name)}
    _check(place, layer, rules)
    if type(layer) is kind:
        _check_shapes(place, layer)


@cache
def _methods(cls: type[nn.Module]) -> frozenset[str]:
    """The methods of a class, but for the one whose name YOLOs give a text to."""
    return frozenset(name for name, _ in inspect.getmembers(cls, inspect.isroutine)) - {"type"}


def _check_tensor(place: str, tensor: torch.Tensor, trained: bool) -> None:
    if trained and not tensor.is_floating_point():
        raise UnsoundError(f"{place} is of {tensor.dtype}, not of real numbers")
    if tensor.is_complex() or tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise UnsoundError(f"{place} is of {tensor.dtype}, not of real numbers")
    # the least and the most tell it without a copy; what is not trained may be a mask
    if trained and tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor.detach()))):
        raise UnsoundError(f"{place} holds what is no finite number")


def _check_shapes(place: str, layer: nn.Module) -> None:
    there = layer._parameters | layer._buffers
    groups = getattr(layer, "groups", 1)
    for channels in ("in_channels", "out_channels"):
        if getattr(layer, channels, groups) % groups:
            raise UnsoundError(f"{place}: its {channels} are no multiple of its {groups} groups")
    for name, shape in shapes(layer).items():
        tensor = there.get(name)
        if tensor is None:
            raise UnsoundError(f"{place} has no {name}")
        if tuple(tensor.shape) != shape:
            sizes = "x".join(map(str, tensor.shape))
            raise UnsoundError(f"{place}.{name} is {sizes}, not {'x'.join(map(str, shape))}")


def _check_rows(rows: nn.Sequential | nn.ModuleList) -> None:
    """See that each row takes its input from rows before it."""
    if not len(rows):
        raise UnsoundError("it has no layers")
    for number, row in enumerate(rows):
        if not hasattr(row, "f") and not hasattr(row, "i"):
            continue
        if not is_row(vars(row)) or row.i != number:
            raise UnsoundError(
                f"row {number} does not say which it is, and where its input is from"
            )
        for source in row.f if isinstance(row.f, (list, tuple)) else (row.f,):
            if source != -1 and not 0 <= (source if source >= 0 else number + source) < number:
                raise UnsoundError(f"row {number} takes its input from row {source}")
    head = rows[-1]
    _check(f"row {len(rows) - 1}", head, {k: rule for k, rule in HEAD.items() if hasattr(head, k)})
