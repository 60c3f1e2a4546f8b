"""What SyNet swaps in the YOLOv5 line: a declaration, and the three wrappers it names.

``parse_model`` looks its layers up in its module's globals when it is called. So
swapping `Conv` and `Detect` there, and in every module of the fork, makes the fork's own
blocks (C3, SPPF, ...) come out chip-safe, with the fork's own bookkeeping of channels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synet import zoo
from synet.errors import ChipError, DataError, SynetError
from synet.patches.engine import Family, Fork, Swap, Wrap
from synet.patches.rows import read_rows, rewritten, row_place


def wrap_parse_model(fork: Fork) -> Callable:
    """Hand the fork rows that it can build, and check what it built against the chip."""

    def parse_model(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        definition, channels = bound.arguments["d"], bound.arguments["ch"][-1]
        rows = read_rows(fork, definition)
        taken: list[int] = []
        bound.arguments["d"], riders = rewritten(fork, definition, channels, taken)
        try:
            layers, save = wrapped(*bound.args, **bound.kwargs)
        except Exception as error:
            if not taken:
                raise
            kind = type(error) if isinstance(error, SynetError) else SynetError
            place = f"{row_place(fork, taken[-1])}: {rows[taken[-1]][2]}"
            raise kind(f"{place}: {_reason(error)}") from error
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
        cfg = zoo.find_model_path(bound.arguments.get("cfg"))
        path = str(cfg) if isinstance(cfg, (str, Path)) else ""
        definition = zoo.read_definition(path) if path else cfg  # resuming hands a mapping over
        if path:
            bound.arguments["cfg"] = cfg
        if isinstance(definition, dict):
            wanted = zoo.claims(definition, path or "the checkpoint's yaml").chip
            if wanted not in (None, fork.chip):
                raise ChipError(
                    f"{path or 'the checkpoint'} is made for {wanted}, and this process is "
                    f"patched for {fork.chip}"
                )
        fork.cfg.append(path)
        try:
            wrapped(*bound.args, **bound.kwargs)
        finally:
            fork.cfg.pop()
        model.synet = {"chip": fork.chip}

    return __init__


def wrap_check_file(fork: Fork) -> Callable:
    """Let the fork's search for a file find zoo models first, and say plainly what it misses."""

    def check_file(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        parameter, file = next(iter(bound.arguments.items()))
        bound.arguments[parameter] = zoo.find_model_path(file)
        try:
            return wrapped(*bound.args, **bound.kwargs)
        except AssertionError as error:  # what YOLOv5 raises for the user's mistakes
            near = zoo.near_names(str(file))
            hint = f"; did you mean {' or '.join(near)} of the zoo?" if near else ""
            raise SynetError(f"{_reason(error)}{hint}") from error

    return check_file


def wrap_check_dataset(fork: Fork) -> Callable:
    """Resolve the folders of a data yaml against the yaml's own folder, as people write them.

    Where nothing is there, the fork is left to look in its own places, and to download.
    """

    def check_dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        from synet.data import load_dataset, resolved_definition

        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        parameter, data = next(iter(bound.arguments.items()))
        if not isinstance(data, (str, Path)) or Path(data).suffix not in (".yaml", ".yml"):
            return wrapped(*bound.args, **bound.kwargs)
        dataset = load_dataset(data)
        places = [place for split in ("train", "val") for place in dataset.sources.get(split, ())]
        if not all(place.exists() for place in places):
            try:
                return wrapped(*bound.args, **bound.kwargs)
            except Exception as error:  # YOLOv5 raises the bare class
                missing = next(place for place in places if not place.exists())
                raise DataError(f"{data}: {missing} does not exist: {_reason(error)}") from error
        dataset.images("val")
        dataset.require_labels("train")
        bound.arguments[parameter] = resolved_definition(data)
        return wrapped(*bound.args, **bound.kwargs)

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
            raise ChipError(f"{row_place(fork, index)}: {rows[index][2]}: {error}") from None
        if box[0] is not layer:
            for note in ("i", "f", "type", "np"):  # what parse_model writes on each layer
                setattr(box[0], note, getattr(layer, note))
            layers[index] = box[0]
    found = first_problem(layers, channels, fork.chip, fork.names["Detect"])
    if found:
        index, problem = found
        raise ChipError(f"{row_place(fork, index)}: {rows[index][2]}: {problem}")


def _reason(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    plain = text and (isinstance(error, SynetError) or type(error) in (AssertionError, Exception))
    return text if plain else f"{type(error).__name__}: {text}"
