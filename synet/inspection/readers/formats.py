"""The layers of a model and their weights, alike for every format that a model comes in.

A module a format: each has two functions, `layers` and `kernels`, which take a `ModelSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from synet.system.errors import SynetError


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Parameters
    ----------
    name
        Its module path, or what the format calls it.
    kind
        Class of module or layer, or operation.
    shape
        Of its output, in the layout of the format; None for a side that is not fixed, and empty
        where it has no single output.
    parameters
        Numbers that it was trained to hold; those that two layers share count with the first.
    macs
        Multiply-accumulates for one image; None where they cannot be told.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]
    parameters: int
    macs: int | None


@dataclass(frozen=True)
class Kernel:
    """The weights that a layer multiplies its input with.

    Parameters
    ----------
    layer, kind
        As of `Layer`.
    shape
        Of the weights as they are stored.
    weights
        (channels of the output, weights of each).
    zero
        The stored value that means 0: the zero point of quantized weights.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    weights: np.ndarray
    zero: int = 0

    @property
    def is_convolution(self) -> bool:
        return len(self.shape) > 2


@dataclass(frozen=True)
class ModelSource:
    """Which model to read, and what may have to be said about it.

    `image_shape` is height and width; `repo` the folder of the fork that made a checkpoint or shall
    build a yaml; `chip` that of a yaml that names none; `cfg` the yaml of a state dict.
    """

    model: str | Path
    image_shape: tuple[int, int] | None = None
    repo: str | Path | None = None
    chip: str | None = None
    cfg: str | Path | None = None


@dataclass(frozen=True)
class Format:
    """How models of a format are read; `layout` is that of the shapes of images in it."""

    layout: str
    module: str

    def layers(self, source: ModelSource) -> list[Layer]:
        """The layers of a model in the order in which they run."""
        return self._function("layers")(source)

    def kernels(self, source: ModelSource) -> Iterator[Kernel]:
        """The weights of a model's layers."""
        return self._function("kernels")(source)

    def _function(self, name: str) -> Callable:
        return getattr(import_module(f"synet.inspection.readers.{self.module}"), name)


NETWORK = Format("NCHW", "network")  # what torch builds, or has saved
_FORMATS = {
    ".tflite": Format("NHWC", "tflite"),
    ".keras": Format("NHWC", "keras"),
    ".onnx": Format("NCHW", "onnx"),
    ".pt": NETWORK,
    ".yaml": NETWORK,
    ".yml": NETWORK,
    "": NETWORK,  # a name from the zoo
}


def format_of(model: str | Path) -> Format:
    """The format of a model, by the end of its name.

    Raises
    ------
    SynetError
        No such file, or one of another format.
    """
    path = Path(model)
    if path.suffix not in _FORMATS:
        known = ", ".join(filter(None, _FORMATS))
        raise SynetError(f"{model}: is no model; give a name of the zoo or a file: {known}")
    if path.is_dir():
        raise SynetError(f"{model} is a folder; name a model in it")
    found = _FORMATS[path.suffix]
    if found is not NETWORK and not path.exists():
        raise SynetError(f"{model}: no such file")
    return found


def refuse_other_shape(source: ModelSource, own: Sequence[int | None]) -> None:
    """See that a file's image shape, height and width, is the one that is asked for, if any.

    Raises
    ------
    SynetError
        A side is fixed, and another.
    """
    asked = source.image_shape or own
    if len(asked) != len(own) or any(
        side not in (None, given) for side, given in zip(own, asked, strict=True)
    ):
        raise SynetError(
            f"{source.model} is made for images of {tuple(own)}, not {tuple(asked)} (height, width)"
        )


def matrix(weights: np.ndarray, *channels: int) -> np.ndarray:
    """Weights as (channels, weights of each), given the axes that count output channels."""
    moved = np.moveaxis(weights, channels, range(len(channels)))
    return moved.reshape(int(np.prod(moved.shape[: len(channels)])), -1)
