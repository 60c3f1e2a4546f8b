"""What SyNet swaps in the YOLOv5 line: a declaration, and the three wrappers it names.

``parse_model`` looks its layers up in its module's globals when it is called. So
swapping `Conv` and `Detect` there, and in every module of the fork, makes the fork's own
blocks (C3, SPPF, ...) come out chip-safe, with the fork's own bookkeeping of channels.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from synet import zoo
from synet.errors import ChipError, PatchError, SynetError
from synet.patches.engine import Family, Fork, Swap, Wrap

# What a row of a model yaml is written with: names (nc, nn.Upsample), numbers, lists, nn.SiLU().
PLAIN_SYNTAX = (
    *(ast.Expression, ast.Name, ast.Attribute, ast.Constant, ast.List, ast.Tuple, ast.Load),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Call, ast.keyword),
)

TORCH_NAME = re.compile(r"torch\.nn|(torch\.)?nn\.[A-Z]\w*")


def wrap_parse_model(fork: Fork) -> Callable:
    """Hand the fork rows that it can build, and check what it built against the chip."""

    def parse_model(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        definition, channels = bound.arguments["d"], bound.arguments["ch"][-1]
        rows = [*definition["backbone"], *definition["head"]]
        bound.arguments["d"], riders = _rewritten(fork, definition)
        layers, save = wrapped(*bound.args, **bound.kwargs)
        for index, row in enumerate(rows):
            if riders[index] and isinstance(row[0], list):  # rode in on its first input alone
                layers[index].f = row[0]
                save = sorted({*save, *(i % index for i in row[0] if i != -1)})
        _make_safe(fork, layers, rows, channels)
        return layers, save

    return parse_model


def wrap_model_init(fork: Fork) -> Callable:
    """Find ``cfg`` in the zoo, and note in the model which chip it was built for."""

    def __init__(wrapped: Callable, model: Any, args: tuple, kwargs: dict) -> None:  # noqa: N807
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        cfg = bound.arguments.get("cfg")
        path = zoo.find_model_path(cfg)
        if isinstance(path, (str, Path)):
            bound.arguments["cfg"] = path
            wanted = zoo.claims(zoo.read_definition(path), path).chip
            if wanted not in (None, fork.chip):
                raise ChipError(
                    f"{path} is made for {wanted}, and this process is patched for {fork.chip}"
                )
        fork.cfg.append(str(path) if isinstance(path, (str, Path)) else "")
        try:
            wrapped(*bound.args, **bound.kwargs)
        finally:
            fork.cfg.pop()
        model.synet = {"chip": fork.chip}

    return __init__


def wrap_check_file(fork: Fork) -> Callable:
    """Let the fork's search for a file find zoo models first."""

    def check_file(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        return (
            wrapped(zoo.find_model_path(args[0]), *args[1:], **kwargs)
            if args
            else wrapped(**kwargs)
        )

    return check_file


def wrap_check_dataset(fork: Fork) -> Callable:
    """Resolve the folders of a data yaml against the yaml's own folder, as people write them."""

    def check_dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        data = args[0] if args else kwargs.get("data")
        if not isinstance(data, (str, Path)) or Path(data).suffix not in (".yaml", ".yml"):
            return wrapped(*args, **kwargs)
        from synet.data import resolved_definition

        resolved = resolved_definition(data)
        return wrapped(resolved, *args[1:], **{k: v for k, v in kwargs.items() if k != "data"})

    return check_dataset


FAMILY = Family(
    name="yolov5",
    signature=("d", "ch"),
    swaps=(
        Swap("Conv", "synet.layers.conv:Conv"),
        Swap("Concat", "synet.layers.basic:Cat"),
        Swap("Detect", "synet.layers.yolov5:Detect"),
    ),
    parse_model=wrap_parse_model,
    model_init=wrap_model_init,
    functions=(
        Wrap("check_file", wrap_check_file),
        Wrap("check_yaml", wrap_check_file),
        Wrap("check_dataset", wrap_check_dataset),
    ),
)


def _rewritten(fork: Fork, definition: Mapping[str, Any]) -> tuple[dict[str, Any], list[bool]]:
    """A copy of a model definition in the fork's own words, and which rows are ours."""
    from synet import layers
    from synet.layers.conv import Spec

    definition = copy.deepcopy(dict(definition))
    # Every activation becomes the chip's, and the fork would run this text as code.
    definition.pop("activation", None)
    depth, ours_first, riders = definition.get("depth_multiple", 1), "synet" in definition, []
    for part in ("backbone", "head"):
        for row in definition[part]:
            source, repeats, name, args = row
            _refuse_code(fork, row, len(riders))
            known = _in_fork(fork, name)
            ours = name in layers.__all__ and (not known or ours_first)
            # Names that a fork has too are swapped already where they have to be.
            ours = ours and name not in {swap.name for swap in fork.family.swaps}
            riders.append(ours)
            if not ours:
                if not known:
                    raise PatchError(_unknown(fork, name, len(riders) - 1))
                continue
            layer = getattr(layers, name)
            source = source[0] if isinstance(source, list) else source
            parameters = list(inspect.signature(layer.__init__).parameters)[1:]
            if parameters[:2] == ["c1", "c2"]:
                repeats = max(round(repeats * depth), 1) if repeats > 1 else repeats
                row[:] = [source, 1, "Conv", [args[0], Spec(layer, args[1:], repeats)]]
            else:  # as many channels out as in: the fork's case for layers it does not know
                row[:] = [source, repeats, layer, args]
    return definition, riders


def _refuse_code(fork: Fork, row: list, index: int) -> None:
    """Refuse text that would do more than name something: the fork evaluates it as Python.

    On resuming, the rows come out of a checkpoint, which may be anybody's.
    """
    for text in [row[2], *row[3]]:
        try:
            tree = ast.parse(text, mode="eval") if isinstance(text, str) else None
        except SyntaxError:
            continue  # nothing can run it
        for node in ast.walk(tree) if tree else ():
            dotted = node.func if isinstance(node, ast.Call) else node
            dotted = ast.unparse(dotted) if isinstance(node, (ast.Call, ast.Attribute)) else "nn.X"
            if not isinstance(node, PLAIN_SYNTAX) or not TORCH_NAME.fullmatch(dotted):
                raise PatchError(
                    f"{_row_place(fork, index)}: {text!r} is code, which no model yaml may hold; "
                    f"use names and numbers"
                )


def _in_fork(fork: Fork, name: Any) -> bool:
    return not isinstance(name, str) or name.partition(".")[0] in fork.names


def _unknown(fork: Fork, name: str, index: int) -> str:
    from torch import nn

    from synet import layers

    modules = [n for n, v in fork.names.items() if isinstance(v, type) and issubclass(v, nn.Module)]
    near = get_close_matches(name, [*layers.__all__, *modules], cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "correct the name."
    return (
        f"{_row_place(fork, index)}: no layer {name!r} in {fork.builder.__name__} "
        f"({fork.builder.__file__}) nor in SyNet; {hint}"
    )


def _make_safe(fork: Fork, layers: Any, rows: list, channels: int) -> None:
    """Replace what is left of torch's own layers, then see that the chip runs every row."""
    from torch import nn

    from synet.layers.replace import replace_layers
    from synet.layers.trace import first_problem

    for index, layer in enumerate(layers):
        box = nn.ModuleList([layer])
        try:
            replace_layers(box)
        except ChipError as error:
            raise ChipError(f"{_row_place(fork, index)}: {rows[index][2]}: {error}") from None
        if box[0] is not layer:
            for note in ("i", "f", "type", "np"):  # what parse_model writes on each layer
                setattr(box[0], note, getattr(layer, note))
            layers[index] = box[0]
    found = first_problem(layers, channels, fork.chip, fork.names["Detect"])
    if found:
        index, problem = found
        raise ChipError(f"{_row_place(fork, index)}: {rows[index][2]}: {problem}")


def _row_place(fork: Fork, index: int) -> str:
    """Where row `index` stands: file and line, or what is known of it."""
    path = fork.cfg[-1] if fork.cfg else ""
    if not path:
        return f"model definition, layer {index}"
    import yaml

    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8", errors="replace"))
        parts = {key.value: value for key, value in root.value}
        nodes = [*parts["backbone"].value, *parts["head"].value]
    except (OSError, yaml.YAMLError, KeyError, AttributeError) as error:
        raise SynetError(f"{path}: changed while it was being read: {error}") from None
    return f"{path}:{nodes[index].start_mark.line + 1}"
