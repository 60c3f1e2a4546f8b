"""The rows of a model yaml: read, checked, and rewritten in the words of a fork.

A zoo layer that the fork has never heard of rides in as an argument of its ``Conv`` (see
`synet.layers.conv.Spec`); the fork's own code then keeps account of channels and widths.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from synet.patches.declaration import Fork
from synet.system.errors import ChipError, PatchError, SynetError
from synet.system.text import shown
from synet.system.yaml_files import compose_yaml
from synet.zoo import PARTS, rows_of

REQUIRED_PARTS = ("backbone", "head")
# First parameters of a layer whose number of output channels the yaml gives.
CHANNEL_PARAMETERS = (("c1", "c2"), ("in_channels", "out_channels"))

# Of numbers that all of a model is made by; those of real ones are far below.
MOST = {"nc": 100_000, "ch": 1_000, "depth_multiple": 10, "width_multiple": 10}
# How yaml rows spell Python's constants; not every fork evaluates them.
CONSTANTS = {"None": None, "True": True, "False": False}
# Layers of ours that no row can ride on Conv stand in the builder's globals under this prefix.
OURS = "SyNet"


class _Row(list):
    """A row that notes when the fork takes it up, so that an error can name its line."""

    def __init__(self, values: list, index: int, taken: list[int]) -> None:
        super().__init__(values)
        self.index, self.taken = index, taken

    def __iter__(self) -> Iterator[Any]:
        self.taken.append(self.index)
        return super().__iter__()


def read_rows(fork: Fork, definition: Mapping[str, Any]) -> list[list]:
    """All rows of a model definition, each of the form that a fork can read."""
    from synet.patches.row_words import RowWords

    for part in REQUIRED_PARTS:
        if not isinstance(definition.get(part), list):
            raise SynetError(f"{definition_path(fork)}: no {part!r}, a list of layers")
    _check_numbers(definition, definition_path(fork))
    rows, words = rows_of(definition), RowWords(fork)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
            raise SynetError(
                f"{row_place(fork, index)}: a layer is [from, number, module, [arguments]], "
                f"this is {shown(row)}"
            )
        try:
            words.check(row)
        except PatchError as error:
            raise PatchError(f"{row_place(fork, index)}: {error}") from None
    for key in [key for key in definition if key not in (*PARTS, "activation")]:
        try:
            words.check_key(key, definition[key])
        except PatchError as error:
            raise PatchError(f"{definition_path(fork)}: {key}: {error}") from None
    head = fork.names.get(fork.called.get("Detect", ""))
    if head and "anchors" in inspect.signature(head).parameters and "anchors" not in definition:
        file = Path(_path(fork)).name or "YAML"
        raise PatchError(
            f"{row_place(fork, len(rows) - 1)}: {rows[-1][2]}: the heads of "
            f"{fork.module.__name__} need anchors, and this definition has none; train it with: "
            f"synet ultralytics train model={file}"
        )
    return rows


def _check_numbers(definition: Mapping[str, Any], path: str) -> None:
    """See that what the whole model is multiplied with is no more than such numbers are."""
    scales = definition.get("scales") or {}
    given = [(key, definition[key]) for key in MOST if key in definition]
    for scale in scales.values() if isinstance(scales, dict) else ():
        numbers = scale if isinstance(scale, (list, tuple)) else ()
        pairs = zip(("depth_multiple", "width_multiple"), numbers, strict=False)
        given += pairs
    for key, value in given:
        if type(value) not in (int, float) or not 0 < value <= MOST[key]:
            raise SynetError(f"{path}: {key}: {value!r} is not a number above 0, up to {MOST[key]}")


def rewritten(
    fork: Fork, definition: Mapping[str, Any], channels: int, taken: list[int]
) -> tuple[dict[str, Any], list[bool]]:
    """A copy of a model definition in the fork's own words, and which rows are ours."""
    from synet import layers
    from synet.patches.zoo_heads import zoo_head

    try:
        definition = copy.deepcopy(dict(definition))
    except RecursionError:
        raise SynetError(f"{definition_path(fork)}: nested too deep for a model") from None
    # Every activation becomes the chip's, and the fork would run this text as code.
    definition.pop("activation", None)
    depth, ours_first, riders = definition.get("depth_multiple", 1), "synet" in definition, []
    own = {fork.names[called]: called for called in fork.called.values()}
    for part in [part for part in PARTS if part in definition]:
        for at, (source, repeats, name, args) in enumerate(definition[part]):
            index = len(riders)
            args = [CONSTANTS.get(arg, arg) if isinstance(arg, str) else arg for arg in args]
            layer = getattr(layers, name) if name in layers.__all__ else None
            if layer is None and not _in_fork(fork, name):
                name = fork.called.get(name, name)
            known = _in_fork(fork, name) or layer in own
            ours = layer is not None and layer not in own and (not known or ours_first)
            if name == "Detect" and ours_first:
                row, ours = zoo_head(fork, [source, repeats, name, args]), False
            elif ours:
                _check_arguments(fork, index, layer, args, channels)
                row = _riding(fork, name, source, repeats, args, depth)
            elif known:
                row = [source, repeats, own.get(layer, name), args]
            else:
                raise PatchError(_unknown(fork, name, index))
            definition[part][at] = _Row(row, index, taken)
            riders.append(ours)
    return definition, riders


def _riding(
    fork: Fork, name: str, source: int | list, repeats: int, args: list, depth: float
) -> list:
    """The fork's own kind of row that makes it build one of our layers."""
    from synet import layers
    from synet.layers.conv import Spec

    layer = getattr(layers, name)
    source = source[0] if isinstance(source, list) else source
    if tuple(inspect.signature(layer).parameters)[:2] not in CHANNEL_PARAMETERS:
        # as many channels out as in: the fork's case for layers that it does not know
        return [source, repeats, OURS + name, args]
    repeats = max(round(repeats * depth), 1) if repeats > 1 else repeats
    return [source, 1, fork.called["Conv"], [args[0], Spec(layer, args[1:], repeats)]]


def _check_arguments(fork: Fork, index: int, layer: type, args: list, channels: int) -> None:
    signature = inspect.signature(layer)
    given = args if tuple(signature.parameters)[:2] not in CHANNEL_PARAMETERS else [0, *args]
    try:
        signature.bind(*given)
    except TypeError as error:
        raise SynetError(f"{row_place(fork, index)}: {layer.__name__}: {error}") from None
    if layer.__name__ == "Grayscale" and index == 0 and channels != 1:
        raise ChipError(
            f"{row_place(fork, index)}: Grayscale gives one channel, and the yaml says "
            f"{channels}; write ch: 1 (training images may have colour all the same)"
        )


def _in_fork(fork: Fork, name: Any) -> bool:
    if not isinstance(name, str):
        return True
    first, *rest = name.split(".")
    value = fork.names.get(first)
    for part in rest:
        value = getattr(value, part, None)
    return value is not None


def _unknown(fork: Fork, name: str, index: int) -> str:
    from torch import nn

    from synet import layers

    homes = {"": fork.names, "nn.": vars(nn)}
    modules = [
        home + n
        for home, names in homes.items()
        for n, v in names.items()
        if isinstance(v, type) and issubclass(v, nn.Module)
    ]
    near = get_close_matches(name, dict.fromkeys([*layers.__all__, *modules]), cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "correct the name."
    return (
        f"{row_place(fork, index)}: no layer {name!r} in {fork.module.__name__} "
        f"({fork.module.__file__}) nor in SyNet; {hint}"
    )


def definition_path(fork: Fork) -> str:
    """The yaml of the model that is being built, or words for one that is from none."""
    return _path(fork) or "model definition"


def _path(fork: Fork) -> str:
    return fork.building[-1].path if fork.building else ""


def row_place(fork: Fork, index: int) -> str:
    """Where row `index` stands: file and line, or what is known of it."""
    path = _path(fork)
    if not path:
        return f"model definition, layer {index}"
    root = compose_yaml(path)
    try:
        parts = {key.value: value for key, value in root.value}
        nodes = [node for part in PARTS if part in parts for node in parts[part].value]
    except (TypeError, ValueError, AttributeError) as error:
        raise SynetError(f"{path}: changed while it was being read: {error}") from None
    return f"{path}:{nodes[index].start_mark.line + 1}"
