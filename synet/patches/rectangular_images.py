"""Rectangular images from the first epoch on, in YOLOs that know squares alone.

A `Size` is what YOLOs take an image size for, a whole number, and tells height and width to
whoever asks. So it passes unchanged through code that knows squares alone, and the few
functions that make images of a size are wrapped here: they letterbox to height and width,
scale what they load to fit in there, and cut mosaics, which stay squares of the longer side, to
height and width around their centre, labels included.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import wrapt
import yaml

from synet.patches.command_line import IMAGE_SIZE
from synet.patches.declaration import CHECK_FUNCTIONS, Wrap
from synet.patches.undo import Applied

LOGGER = logging.getLogger("synet")

# What an option says of itself that takes two numbers, if they are height and width.
_HEIGHT_WIDTH = re.compile(r"\bh\b,? ?w\b|height", re.IGNORECASE)
# A fork that has these in its modules can be made to see rectangles; else it sees squares.
NEEDED = (
    {"letterbox", "load_image", "create_dataloader"},
    {"LetterBox.__init__", "load_image", "Mosaic.__init__"},
)
# The parameters that each function begins with, and what its module or class has beside it.
_DATASET = frozenset(
    ("load_mosaic", "load_mosaic_face", "cache_labels", "cache_images", "update_labels")
)
_AUGMENTATION = frozenset(("random_perspective", "augment_hsv", "load_mosaic", "RandomPerspective"))
OWNERS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "check_imgsz": (("imgsz", "stride"), CHECK_FUNCTIONS),
    "check_img_size": (("img_size|imgsz", "s"), CHECK_FUNCTIONS),
    "create_dataloader": (("path", "imgsz", "batch_size", "stride"), frozenset()),
    "BaseDataset.__init__": (("self", "img_path", "imgsz"), _DATASET),
    "set_rectangle": (("self",), _DATASET),
    "load_image": (("self", "i|index"), _DATASET),
    "__getitem__": (("self", "index"), _DATASET),
    "letterbox": (("im|img", "new_shape"), _AUGMENTATION),
    "LetterBox.__init__": (("self", "new_shape|size"), frozenset(("__call__",))),
    "Mosaic.__init__": (("self", "dataset", "imgsz"), frozenset()),
    "RandomPerspective.__init__": (("self", "degrees"), frozenset()),
    "classify_transforms": (("size",), _AUGMENTATION),
    "classify_augmentations": (("size",), _AUGMENTATION),
}


class Size(int):
    """The longer side of an image, as YOLOs want it, that knows height and width.

    It unpacks to height and width, and is written to files as the list of both.
    """

    shape: tuple[int, int]

    def __new__(cls, height: int, width: int) -> Size:
        size = super().__new__(cls, max(height, width))
        size.shape = (int(height), int(width))
        return size

    def __iter__(self) -> Iterator[int]:
        return iter(self.shape)

    def __str__(self) -> str:  # as one types it
        return f"{self.shape[0]},{self.shape[1]}"

    __repr__ = __str__

    def __reduce_ex__(self, _: Any) -> tuple:  # checkpoints hold plain data
        return list, (self.shape,)

    def __copy__(self) -> Size:
        return self

    def __deepcopy__(self, _: Any) -> Size:
        return self

    @property
    def border(self) -> list[int]:
        """What lies above (and below) and left (and right) of the cut in a mosaic, negative."""
        return [-(2 * self - side) // 2 for side in self.shape]


class Shape(list):
    """Height and width where a YOLO has a list of both; images become that, and no smaller."""

    def __reduce_ex__(self, _: Any) -> tuple:
        return list, (list(self),)


ForkingPickler.register(Size, lambda size: (Size, size.shape))  # workers need all of it
ForkingPickler.register(Shape, lambda shape: (Shape, (list(shape),)))


def size_of(value: Any) -> Size | None:
    """The rectangle that a value means: a `Size`, "480,640", a pair; None where it is none.

    Code that knows squares makes a pair of a size with itself: that is the size again.
    """
    if isinstance(value, str):
        value = [int(n) for n in re.findall(r"\d+", value)]
    if isinstance(value, Size):
        return value
    if isinstance(value, Sequence) and len(value) == 2:
        if isinstance(value[0], Size):
            return value[0]
        if all(isinstance(n, int) and n > 0 for n in value):
            return Size(*value)
    return None


class Rectangles:
    """The wrappers of one patch, and which functions they have found in the process.

    Parameters
    ----------
    exact
        Take height and width as they are: patched models run at any. Else they are rounded to
        multiples of the largest stride, as the YOLO rounds a number.
    """

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact
        self.found: set[str] = set()
        wrappers = {
            "check_imgsz": self._check_size,
            "check_img_size": self._check_size,
            "create_dataloader": _create_dataloader,
            "BaseDataset.__init__": _dataset,
            "set_rectangle": _set_rectangle,
            "load_image": _load_image,
            "__getitem__": _getitem,
            "letterbox": _letterbox,
            "LetterBox.__init__": _letterbox,
            "Mosaic.__init__": _mosaic,
            "RandomPerspective.__init__": _perspective,
            "classify_transforms": _classify,
            "classify_augmentations": _classify,
        }
        self.wraps = tuple(
            Wrap(name, lambda _, name=name, make=make: self._noted(name, make), *OWNERS[name])
            for name, make in wrappers.items()
        )

    def apply(self, applied: Applied) -> None:
        """Let command lines take height and width, and yaml files hold them."""
        parse = wrapt.FunctionWrapper(argparse.ArgumentParser.parse_known_args, self._parse)
        applied.bind(argparse.ArgumentParser, "parse_known_args", parse, "wrap")
        for representer in (yaml.representer.SafeRepresenter, yaml.representer.Representer):
            for kind in (Size, Shape):
                applied.bind_item(representer.yaml_representers, kind, _as_list)

    def possible(self, size: Size) -> int:
        """`size`, where what is imported can be made to see it; else its longer side, told."""
        if any(needed <= self.found for needed in NEEDED):
            return size
        missing = min((needed - self.found for needed in NEEDED), key=len)
        LOGGER.warning(
            "image size %s: images stay squares of %d, as SyNet finds no %s in this fork to make "
            "rectangles in",
            size,
            size,
            " nor ".join(sorted(missing)),
        )
        return int(size)

    def _noted(self, name: str, make: Callable) -> Callable:
        self.found.add(name)
        return make

    def _check_size(self, wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        """Give height and width as the number, or the pair, that a square is given as."""
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        bound.apply_defaults()
        name, value = next(iter(bound.arguments.items()))
        size = size_of(value)
        if size and "min_dim" not in bound.arguments and [*value] == [int(size)] * 2:
            size = None  # YOLOv5's way of writing a square, which it may then make smaller
        size = size and self.possible(size)
        if not isinstance(size, Size):
            return wrapped(*args, **kwargs)
        limits = [bound.arguments.get(limit) for limit in ("min_dim", "max_dim")]
        if not self.exact:
            sides = []
            for side in size.shape:
                bound.arguments[name] = side
                bound.arguments |= {"min_dim": 1} if limits[0] else {}
                sides.append(wrapped(*bound.args, **bound.kwargs))
            size = Size(*sides)
        return Shape(size) if limits in ([2, 2], [2, None]) else size

    def _parse(self, wrapped: Callable, parser: Any, args: tuple, kwargs: dict) -> Any:
        """Read ``--img 480 640`` and ``--imgsz 480,640`` where an option is a whole number."""
        actions = [a for a in parser._actions if {*a.option_strings} & {*IMAGE_SIZE}]
        actions = [action for action in actions if action.type is int]
        typed = args[0] if args else kwargs.get("args")
        typed = [*(sys.argv[1:] if typed is None else typed)]
        for action in actions:
            typed = _one_word(typed, action) if action.nargs is None else _words(typed, action)
            action.type = self._number
        try:
            return wrapped(typed, *args[1:], **{k: v for k, v in kwargs.items() if k != "args"})
        finally:
            for action in actions:
                action.type = int

    def _number(self, text: str) -> int:
        size = size_of(text) if "," in text else None
        return self.possible(size) if size else int(text)

    _number.__name__ = "int"  # what argparse calls it when it complains


def _one_word(typed: list[str], action: argparse.Action) -> list[str]:
    """``--img 480 640`` as ``--img 480,640``."""
    words = list(typed)
    for at in range(len(words) - 3, -1, -1):
        if words[at] in action.option_strings and all(w.isdigit() for w in words[at + 1 : at + 3]):
            words[at + 1 : at + 3] = [",".join(words[at + 1 : at + 3])]
    return words


def _words(typed: list[str], action: argparse.Action) -> list[str]:
    """``--img 480,640`` as ``--img 480 640``, where two numbers are height and width.

    In training scripts of old they are sizes for training and for testing.
    """
    if not _HEIGHT_WIDTH.search(action.help or ""):
        return typed
    words: list[str] = []
    for word in typed:
        sized = words and words[-1] in action.option_strings and size_of(word)
        words += map(str, sized.shape) if sized else [word]
    return words


def _as_list(dumper: Any, value: Size | Shape) -> yaml.Node:
    return dumper.represent_list([*value])


def _create_dataloader(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
    """Batches of one shape instead of one for each aspect ratio."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    if "rect" in bound.arguments and any(isinstance(v, Size) for v in bound.arguments.values()):
        bound.arguments["rect"] = False
    return wrapped(*bound.args, **bound.kwargs)


def _dataset(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    size = size_of(bound.arguments.get("imgsz"))
    if size:
        bound.arguments["imgsz"] = size
    wrapped(*bound.args, **bound.kwargs)


def _size_of_dataset(dataset: Any) -> Size | None:
    names = ("imgsz", "img_size")
    sizes = (getattr(dataset, name, None) for name in names)
    return next((size for size in sizes if isinstance(size, Size)), None)


def _set_rectangle(wrapped: Callable, dataset: Any, args: tuple, kwargs: dict) -> None:
    wrapped(*args, **kwargs)
    size = _size_of_dataset(dataset)
    if size:
        dataset.batch_shapes[:] = size.shape


def _getitem(wrapped: Callable, dataset: Any, args: tuple, kwargs: dict) -> Any:
    """Cut the mosaics that a data set makes by itself."""
    size = _size_of_dataset(dataset) if hasattr(dataset, "mosaic_border") else None
    if size:
        dataset.mosaic_border = size.border
    return wrapped(*args, **kwargs)


def _load_image(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
    """Scale an image that the fork has scaled to the longer side so that it fits altogether.

    Mosaics and validation take it as it is, and would see it larger than a letterboxed one.
    """
    loaded = wrapped(*args, **kwargs)
    given = [*inspect.signature(wrapped).bind(*args, **kwargs).arguments.values()]
    # a function of the data set in old forks
    dataset, index = given[:2] if instance is None else (instance, given[0])
    size = _size_of_dataset(dataset)
    if size is None or not isinstance(loaded, tuple) or len(loaded) != 3:
        return loaded
    import cv2

    image, original, (height, width) = loaded
    ratio = min(size.shape[0] / height, size.shape[1] / width)
    if ratio >= 1:
        return loaded
    sides = max(round(width * ratio), 1), max(round(height * ratio), 1)
    fitting = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    fitting = fitting[..., None] if fitting.ndim < image.ndim else fitting
    for images, shapes in (("ims", "im_hw"), ("imgs", "img_hw")):  # what it keeps for later
        kept = getattr(dataset, images, None)
        if kept is not None and kept[index] is image:
            kept[index], getattr(dataset, shapes)[index] = fitting, fitting.shape[:2]
    return fitting, original, fitting.shape[:2]


def _letterbox(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
    """Letterbox to height and width, exactly, as a function of an image or as an object."""
    signature = inspect.signature(wrapped)
    bound = signature.bind(*args, **kwargs)
    name = next((n for n in ("new_shape", "size", "shape") if n in bound.arguments), "")
    value = bound.arguments.get(name)
    given = isinstance(value, (Size, Shape)) or (
        isinstance(value, (list, tuple)) and any(isinstance(v, Size) for v in value)
    )
    if given:
        bound.arguments[name] = size_of(value).shape
        if "auto" in signature.parameters:
            bound.arguments["auto"] = False
    return wrapped(*bound.args, **bound.kwargs)


def _mosaic(wrapped: Callable, mosaic: Any, args: tuple, kwargs: dict) -> None:
    wrapped(*args, **kwargs)
    if isinstance(mosaic.imgsz, Size):
        mosaic.border = tuple(mosaic.imgsz.border)


def _perspective(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    value = bound.arguments.get("size")
    if isinstance(value, tuple) and isinstance(value[0], Size):
        bound.arguments["size"] = value[0].shape[::-1]  # width, height
    wrapped(*bound.args, **bound.kwargs)


def _classify(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
    """Give the steps that crop and scale for a classifier both sides; crops keep their aspect."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    size = bound.arguments.get("size")
    steps = wrapped(*bound.args, **bound.kwargs)
    if not isinstance(size, Size):
        return steps
    height, width = size.shape
    for step in steps.transforms:
        if hasattr(step, "size"):
            step.size = [height, width]
        elif hasattr(step, "h") and hasattr(step, "w"):
            step.h, step.w = height, width
        if hasattr(step, "ratio") and hasattr(step, "size"):
            step.ratio = tuple(ratio * width / height for ratio in step.ratio)
    return steps
