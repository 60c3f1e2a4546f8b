"""The rows of a model yaml: read, checked, and rewritten in the words of a fork.

A zoo layer that the fork has never heard of rides in as an argument of its ``Conv`` (see
`synet.layers.conv.Spec`); the fork's own code then keeps account of channels and widths.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from synet.errors import ChipError, PatchError, SynetError
from synet.patches.engine import Fork
from synet.system.yaml_files import compose_yaml
from synet.zoo import PARTS, rows_of

REQUIRED_PARTS = ("backbone", "head")
# First parameters of a layer whose number of output channels the yaml gives.
CHANNELS = (("c1", "c2"), ("in_channels", "out_channels"))

# What a row of a model yaml is written with: names (nc, nn.Upsample), numbers, lists, nn.SiLU().
PLAIN_SYNTAX = (
    *(ast.Expression, ast.Name, ast.Attribute, ast.Constant, ast.List, ast.Tuple, ast.Load),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Call, ast.keyword),
)

# How yaml rows spell Python's constants; not every fork evaluates them.
CONSTANTS = {"None": None, "True": True, "False": False}
# Layers of ours that no row can ride on Conv stand in the builder's globals under this prefix.
OURS = "SyNet"

TORCH_NAME = re.compile(r"torch\.nn|(torch\.)?nn\.[A-Z]\w*")


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
    for part in REQUIRED_PARTS:
        if not isinstance(definition.get(part), list):
            raise SynetError(f"{_file_of(fork)}: no {part!r}, a list of layers")
    for key in ("nc", "depth_multiple", "width_multiple"):
        if not isinstance(definition.get(key, 1), (int, float)):
            raise SynetError(f"{_file_of(fork)}: {key}: {definition[key]!r} is not a number")
    rows = rows_of(definition)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
            raise SynetError(
                f"{row_place(fork, index)}: a layer is [from, number, module, [arguments]], "
                f"this is {row}"
            )
    head = fork.names.get(fork.called.get("Detect", ""))
    if head and "anchors" in inspect.signature(head).parameters and "anchors" not in definition:
        file = Path(_path(fork)).name or "YAML"
        raise PatchError(
            f"{row_place(fork, len(rows) - 1)}: {rows[-1][2]}: the heads of "
            f"{fork.builder.__name__} need anchors, and this definition has none; train it with: "
            f"synet ultralytics train model={file}"
        )
    return rows


def rewritten(
    fork: Fork, definition: Mapping[str, Any], channels: int, taken: list[int]
) -> tuple[dict[str, Any], list[bool]]:
    """A copy of a model definition in the fork's own words, and which rows are ours."""
    from synet import layers
    from synet.patches.heads import zoo_head

    definition = copy.deepcopy(dict(definition))
    # Every activation becomes the chip's, and the fork would run this text as code.
    definition.pop("activation", None)
    depth, ours_first, riders = definition.get("depth_multiple", 1), "synet" in definition, []
    own = {fork.names[called]: called for called in fork.called.values()}
    for part in [part for part in PARTS if part in definition]:
        for at, (source, repeats, name, args) in enumerate(definition[part]):
            index = len(riders)
            _refuse_code(fork, [name, *args], index)
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
    if tuple(inspect.signature(layer).parameters)[:2] not in CHANNELS:
        # as many channels out as in: the fork's case for layers that it does not know
        return [source, repeats, OURS + name, args]
    repeats = max(round(repeats * depth), 1) if repeats > 1 else repeats
    return [source, 1, fork.called["Conv"], [args[0], Spec(layer, args[1:], repeats)]]


def _check_arguments(fork: Fork, index: int, layer: type, args: list, channels: int) -> None:
    signature = inspect.signature(layer)
    given = args if tuple(signature.parameters)[:2] not in CHANNELS else [0, *args]
    try:
        signature.bind(*given)
    except TypeError as error:
        raise SynetError(f"{row_place(fork, index)}: {layer.__name__}: {error}") from None
    if layer.__name__ == "Grayscale" and index == 0 and channels != 1:
        raise ChipError(
            f"{row_place(fork, index)}: Grayscale gives one channel, and the yaml says "
            f"{channels}; write ch: 1 (training images may have colour all the same)"
        )


def _refuse_code(fork: Fork, texts: list, index: int) -> None:
    """Refuse text that would do more than name something: the fork evaluates it as Python.

    On resuming, the rows come out of a checkpoint, which may be anybody's.
    """
    for text in _texts(texts):
        try:
            tree = ast.parse(text.strip(), mode="eval")  # eval() passes over blanks; parse does not
        except (SyntaxError, ValueError):
            continue  # nothing can run it
        for node in ast.walk(tree):
            dotted = node.func if isinstance(node, ast.Call) else node
            dotted = ast.unparse(dotted) if isinstance(node, (ast.Call, ast.Attribute)) else "nn.X"
            if not isinstance(node, PLAIN_SYNTAX) or not TORCH_NAME.fullmatch(dotted):
                raise PatchError(
                    f"{row_place(fork, index)}: {text!r} is code, which no model yaml may hold; "
                    f"use names and numbers"
                )


def _texts(values: Any) -> Iterator[str]:
    """Every text in the nested lists and mappings of a row."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, (list, tuple, dict)):
        for value in (*values.values(), *values) if isinstance(values, dict) else values:
            yield from _texts(value)


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
        f"{row_place(fork, index)}: no layer {name!r} in {fork.builder.__name__} "
        f"({fork.builder.__file__}) nor in SyNet; {hint}"
    )


def _file_of(fork: Fork) -> str:
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
