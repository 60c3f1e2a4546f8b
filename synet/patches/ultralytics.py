"""What SyNet patches in the ultralytics line: YOLOv8 and later, and their forks.

Its ``parse_model`` has a third parameter, ``verbose``, and looks names up in ``globals()``;
its yaml files are found by ``check_yaml`` alone, with the model's scale in their names.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from synet import zoo
from synet.data.datasets_dir import YAMLS
from synet.patches import ultralytics_ranks
from synet.patches.command_line import readable_copy
from synet.patches.data_downloads import call_with_plain_images, call_without_code
from synet.patches.declaration import CHECK_FUNCTIONS, Fork, Wrap
from synet.patches.yolov5 import FAMILY as YOLOV5
from synet.patches.yolov5 import wrap_check_file
from synet.system.errors import SynetError

# How int8 files are run. By name, as it imports what a training can do without.
_INT8 = "synet.patches.ultralytics_int8:"
INT8 = (
    Wrap("_load", f"{_INT8}wrap_load", ("self", "weights"), frozenset(("_new",))),
    Wrap("BaseBackend.read_metadata", f"{_INT8}wrap_read_metadata", ("file",)),
    Wrap("AutoBackend.__init__", f"{_INT8}wrap_init", ("self", "weights|model")),
    Wrap("AutoBackend.forward", f"{_INT8}wrap_forward", ("self", "im")),
    Wrap(
        "init_metrics",
        f"{_INT8}wrap_init_metrics",
        ("self", "model"),
        frozenset(("postprocess", "update_metrics")),
    ),
)


def wrap_new(_: Fork | None) -> Callable:
    """Take the image size that a model yaml states for the default of a ``YOLO("x.yaml")``."""

    def new(wrapped: Callable, model: Any, args: tuple, kwargs: dict) -> Any:
        made = wrapped(*args, **kwargs)
        path = zoo.find_model_path(
            next(iter(inspect.signature(wrapped).bind(*args, **kwargs).args))
        )
        if Path(path).is_file():
            shape = zoo.claims(zoo.read_definition(path), path).image_shape
            for options in (model.overrides, model.model.args) if shape else ():
                options["imgsz"] = [*shape]
        return made

    return new


def wrap_check_dataset(fork: Fork | None) -> Callable:
    """Take a relative ``path:`` of a data yaml from the yaml's own folder, as people write it.

    And have no code run that it brings along.
    """

    def check_det_dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        parameter, data = next(iter(bound.arguments.items()))
        if isinstance(data, (str, Path)) and Path(data).suffix in YAMLS and Path(data).is_file():
            folder = zoo.read_definition(data).get("path")
            if folder and not Path(str(folder)).is_absolute():
                bound.arguments[parameter] = str(readable_copy(data) or data)
        return call_without_code(wrapped, bound, _found(wrapped, data), fork and fork.root)

    return check_det_dataset


def wrap_check_images(_: Fork | None) -> Callable:
    """Have images to classify fetched from no place but an archive, or the YOLO's own."""

    def check_cls_dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        return call_with_plain_images(wrapped, bound, next(iter(bound.arguments.values())))

    return check_cls_dataset


def _found(wrapped: Callable, data: Any) -> str:
    """The file that ultralytics finds for what was given as data: it fetches addresses."""
    search = wrapped.__globals__.get("check_file")
    for name in (str(data), *(f"{data}{suffix}" for suffix in YAMLS)):
        if search is not None and not Path(name).exists():
            with contextlib.suppress(SynetError, OSError):
                name = str(search(name))
        if Path(name).exists():
            return name
    return str(data)


FAMILY = replace(
    YOLOV5,
    name="ultralytics",
    options=("verbose",),
    chip="sabre",
    functions=(
        Wrap("check_yaml", wrap_check_file, ("file",), CHECK_FUNCTIONS),
        Wrap("check_file", wrap_check_file, ("file",), CHECK_FUNCTIONS),
        Wrap("check_det_dataset", wrap_check_dataset, ("dataset",)),
        Wrap("check_cls_dataset", wrap_check_images, ("dataset",)),
        Wrap("_new", wrap_new, ("self", "cfg"), frozenset(("_load",))),
        *INT8,
        *ultralytics_ranks.FUNCTIONS,
    ),
)
