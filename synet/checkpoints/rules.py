"""What the attributes of torch's layers, and of a YOLO's model, must be: data, and no code.

A pickle fills a layer without its constructor, so whatever a constructor would refuse must be
refused here. Each rule is a test and the words for what it wants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Rule = tuple[Callable[[Any], bool], str]

# Of what torch's layers multiply pictures by, pad them with or skip: far beyond any chip's.
_REACH, _SCALE, _CHANNELS, _SIDE = 512, 16, 1 << 16, 1 << 13


def is_whole(value: Any, least: int = 0, most: float = math.inf) -> bool:
    """Is it a whole number, no truth value, in those bounds?"""
    return type(value) is int and least <= value <= most


def is_number(value: Any) -> bool:
    """Is it a finite number, no truth value?"""
    return type(value) in (int, float) and math.isfinite(value)


def is_text(value: Any) -> bool:
    """Is it text that can be printed?"""
    return isinstance(value, str) and len(value) <= 1000


def whole(least: int, most: int) -> Rule:
    """A whole number."""
    return (lambda value: is_whole(value, least, most)), f"a whole number, {least} to {most}"


def several(least: int, most: int, *sizes: int) -> Rule:
    """A whole number, or as many as there may be."""

    def fits(value: Any) -> bool:
        if isinstance(value, (tuple, list)):
            return len(value) in sizes and all(is_whole(x, least, most) for x in value)
        return is_whole(value, least, most)

    return fits, f"a whole number, {least} to {most}, or {' or '.join(map(str, sizes))} such"


def either(rule: Rule, *others: Any) -> Rule:
    """What a rule wants, or one of these values."""

    def fits(value: Any) -> bool:
        return any(value is x or type(value) is str and value == x for x in others) or rule[0](
            value
        )

    return fits, f"{rule[1]}, or {' or '.join(map(repr, others))}"


_COUNT, _STEP, _PAD = whole(1, _CHANNELS), several(1, _REACH, 1, 2), several(0, _REACH, 1, 2)
_NUMBER: Rule = is_number, "a number"
_TRUTH: Rule = (lambda value: type(value) is bool), "True or False"
_AXIS = either(whole(-8, 8), None)
_MODE: Rule = is_text, "a name"
_SCALES: Rule = (
    lambda value: all(
        is_number(x) and 0 < x <= _SCALE for x in (value if type(value) is tuple else (value,))
    ),
    f"a number above 0, at most {_SCALE}",
)
_POOL = {"kernel_size": _STEP, "stride": _STEP, "padding": _PAD, "ceil_mode": _TRUTH}
_POOLED: Rule = (
    lambda value: all(
        x is None or is_whole(x, 1, _REACH)
        for x in (value if isinstance(value, (tuple, list)) else (value,))
    ),
    f"a whole number, 1 to {_REACH}, or None, or two such",
)
_CONV = {
    "in_channels": _COUNT,
    "out_channels": _COUNT,
    "kernel_size": several(1, _REACH, 2),
    "stride": several(1, _REACH, 2),
    "padding": either(several(0, _REACH, 2), "same", "valid"),
    "dilation": several(1, _REACH, 2),
    "groups": _COUNT,
    "padding_mode": _MODE,
    "_reversed_padding_repeated_twice": several(0, _REACH, 4),
}
_NORM = {"num_features": _COUNT, "eps": _NUMBER, "momentum": either(_NUMBER, None)}

# Those that begin with _ are not in old checkpoints.
LAYERS: dict[type[nn.Module], Mapping[str, Rule]] = {
    nn.Conv2d: _CONV,
    nn.ConvTranspose2d: _CONV | {"output_padding": several(0, _REACH, 2)},
    nn.BatchNorm2d: _NORM | {"track_running_stats": _TRUTH},
    nn.Linear: {"in_features": _COUNT, "out_features": _COUNT},
    nn.MaxPool2d: _POOL | {"dilation": _STEP, "return_indices": _TRUTH},
    nn.AvgPool2d: _POOL | {"count_include_pad": _TRUTH},
    nn.AdaptiveAvgPool2d: {"output_size": _POOLED},
    nn.AdaptiveMaxPool2d: {"output_size": _POOLED},
    nn.Upsample: {
        "size": either(several(1, _SIDE, 1, 2), None),
        "scale_factor": either(_SCALES, None),
        "mode": _MODE,
        "align_corners": either(_TRUTH, None),
    },
    nn.ZeroPad2d: {"padding": several(-_REACH, _REACH, 4)},
    nn.PixelShuffle: {"upscale_factor": whole(1, _SCALE)},
    nn.LeakyReLU: {"negative_slope": _NUMBER, "inplace": _TRUTH},
    nn.Hardtanh: {"min_val": _NUMBER, "max_val": _NUMBER, "inplace": _TRUTH},
    nn.ReLU: {"inplace": _TRUTH},
    nn.SiLU: {"inplace": _TRUTH},
    nn.Hardswish: {"inplace": _TRUTH},
    nn.Softmax: {"dim": _AXIS},
    nn.Flatten: {"start_dim": whole(-8, 8), "end_dim": whole(-8, 8)},
    nn.Dropout: {"p": _NUMBER},
}


def shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that a layer must have, by its own attributes, which fit."""
    if isinstance(layer, nn.Conv2d):
        return _with_bias(
            layer,
            layer.out_channels,
            (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size),
        )
    if isinstance(layer, nn.ConvTranspose2d):
        return _with_bias(
            layer,
            layer.out_channels,
            (layer.in_channels, layer.out_channels // layer.groups, *layer.kernel_size),
        )
    if isinstance(layer, nn.Linear):
        return _with_bias(layer, layer.out_features, (layer.out_features, layer.in_features))
    if isinstance(layer, nn.BatchNorm2d):
        names = ("weight", "bias", "running_mean", "running_var")
        there = layer._parameters | layer._buffers
        # without statistics, or without weights, such a layer has None there
        return {
            name: (layer.num_features,)
            for name in names
            if name not in there or there[name] is not None
        }
    return {}


def _with_bias(
    layer: nn.Module, features: int, weight: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    there = layer._parameters.get("bias") is not None or "bias" not in layer._parameters
    return {"weight": weight} | ({"bias": (features,)} if there else {})


def _is_names(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_whole, value)) and _is_names([*value.values()])
    return isinstance(value, (list, tuple)) and all(is_text(x) or is_whole(x) for x in value)


def _is_strides(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        value = value.flatten()[:64]
        return all(0 < x <= _REACH for x in value.tolist())
    return isinstance(value, (list, tuple)) and all(is_number(x) and 0 < x <= _REACH for x in value)


def _is_chip(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.+-]{1,64}", value))


def _is_patch(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "chip" in value
        and (value["chip"] is None or _is_chip(value["chip"]))
        and is_whole(value.get("channels", 3), 1, 64)
        and isinstance(value.get("activation", ""), str)
        and isinstance(value.get("pads_alike", False), bool)
    )


def _is_definition(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    counts = [value.get(key) for key in ("nc", "ch", "channels")]
    rows = [value.get(key, []) for key in ("backbone", "head")]
    return all(x is None or is_whole(x, 1, _CHANNELS) for x in counts) and all(
        isinstance(part, list) and all(isinstance(row, (list, tuple)) for row in part)
        for part in rows
    )


# Of the model that a checkpoint holds, where it has them.
MODEL: Mapping[str, Rule] = {
    "yaml": (_is_definition, "a definition of a model: whole numbers for nc and ch, lists of rows"),
    "synet": (_is_patch, "a mapping with the name of a chip, or None"),
    "names": (_is_names, "a name for each class"),
    "nc": whole(1, _CHANNELS),
    "stride": (_is_strides, "numbers above 0"),
    "save": (
        lambda value: isinstance(value, (list, tuple)) and all(map(is_whole, value)),
        "numbers of rows",
    ),
}
# Of its last row, the head.
HEAD: Mapping[str, Rule] = {"stride": MODEL["stride"], "nc": MODEL["nc"]}
# Of what a checkpoint notes of its training.
IMAGE_SIZE: Rule = either(several(1, _SIDE, 1, 2), None)
