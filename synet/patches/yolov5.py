"""What SyNet patches in the YOLOv5 line: a declaration, and the functions only that line has.

Anything that builds its layers with a ``parse_model`` of two parameters is of this line:
YOLOv3 to YOLOv9, YOLOR's successors, and what teams have made of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synet import zoo
from synet.data.datasets_dir import YAMLS
from synet.patches.data_downloads import call_without_code
from synet.patches.declaration import CHECK_FUNCTIONS, Family, Fork, Swap, Wrap
from synet.patches.parse_model import reason, wrap_model_init, wrap_parse_model
from synet.patches.places import modules_below
from synet.patches.rows import OURS
from synet.system.errors import DataError, SynetError


def wrap_check_file(fork: Fork) -> Callable:
    """Let the fork's search for a file find zoo models first, and say plainly what it misses."""

    def check_file(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        parameter, file = next(iter(bound.arguments.items()))
        bound.arguments[parameter] = zoo.find_model_path(file)
        try:
            return wrapped(*bound.args, **bound.kwargs)
        # what YOLOv5, and ultralytics, raise for the user's mistakes
        except (AssertionError, FileNotFoundError) as error:
            near = zoo.near_names(str(file))
            if isinstance(error, OSError) and not near:
                raise  # who asked may have another place to look in
            hint = f"; did you mean {' or '.join(near)} of the zoo?" if near else ""
            raise SynetError(f"{reason(error)}{hint}") from error

    return check_file


def wrap_check_dataset(fork: Fork) -> Callable:
    """Resolve the folders of a data yaml against the yaml's own folder, as people write them.

    Where nothing is there, the fork is left to look in its own places, and to download.
    """

    def check_dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        from synet.data.yolo_yaml import load_dataset, resolved_definition

        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        parameter, data = next(iter(bound.arguments.items()))
        if not isinstance(data, (str, Path)) or Path(data).suffix not in YAMLS:
            return call_without_code(wrapped, bound, data, fork.root)
        dataset = load_dataset(data)
        places = [place for split in ("train", "val") for place in dataset.sources.get(split, ())]
        if not all(place.exists() for place in places):
            try:
                return call_without_code(wrapped, bound, data, fork.root)
            except SynetError:
                raise
            except Exception as error:  # YOLOv5 raises the bare class
                missing = next(place for place in places if not place.exists())
                raise DataError(f"{data}: {missing} does not exist: {reason(error)}") from error
        dataset.images("val")
        dataset.require_labels("train", _label_paths(fork))
        content = resolved_definition(data)
        bound.arguments[parameter] = {key: content[key] for key in content if key != "download"}
        return wrapped(*bound.args, **bound.kwargs)

    return check_dataset


def _label_paths(fork: Fork) -> Callable[[Path], Path] | None:
    """Where this fork looks for the labels of an image, if it has a function for that."""
    for module in modules_below(fork.root):
        function = vars(module).get("img2label_paths")
        if callable(function):
            return lambda image: Path(function([str(image)])[0])
    return None


# What YOLO calls its classes, and what takes their place.
SWAPS = (
    Swap("Conv", "synet.layers.conv:Conv", like="synet.patches.recognise_classes:is_conv"),
    Swap(
        "Concat",
        "synet.layers.basic:Cat",
        required=False,
        when="synet.patches.recognise_classes:is_concat",
    ),
    Swap(
        "Detect",
        "synet.layers.yolov5:Detect",
        required=False,
        when="synet.patches.recognise_classes:is_same_head",
    ),
)

# Layers of the zoo that keep the number of channels, so that they cannot ride in on Conv.
ADDITIONS = {
    OURS + name: f"synet.layers:{name}"
    for name in ("Add", "BatchNorm", "Cat", "GlobalAvgPool", "Grayscale")
    + ("MaxPool2d", "ReLU", "Upsample")
}

FAMILY = Family(
    name="yolov5",
    swaps=SWAPS,
    additions=ADDITIONS,
    parse_model=wrap_parse_model,
    model_init=wrap_model_init,
    functions=(
        Wrap("check_file", wrap_check_file, ("file",), CHECK_FUNCTIONS),
        Wrap("check_yaml", wrap_check_file, ("file",), CHECK_FUNCTIONS),
        Wrap("check_dataset", wrap_check_dataset, ("data|dict",), CHECK_FUNCTIONS),
    ),
)
