"""How many of a model's weights are exactly zero: what pruning has left to skip."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from synet.inspection.readers.formats import Kernel, ModelSource, format_of
from synet.system.errors import SynetError


@dataclass(frozen=True)
class Zeros:
    """How many of a number of weights are zero, and of convolutions' channels wholly so."""

    weights: int = 0
    zeros: int = 0
    channels: int = 0
    empty_channels: int = 0

    @property
    def share(self) -> float:
        return self.zeros / max(self.weights, 1)

    @property
    def empty_share(self) -> float:
        """Of convolutions' output channels, those without a weight that is not zero."""
        return self.empty_channels / max(self.channels, 1)

    def __add__(self, other: Zeros) -> Zeros:
        return Zeros(
            self.weights + other.weights,
            self.zeros + other.zeros,
            self.channels + other.channels,
            self.empty_channels + other.empty_channels,
        )


@dataclass(frozen=True)
class LayerZeros:
    """A layer with weights; `shape` is theirs as they are stored."""

    layer: str
    kind: str
    shape: tuple[int, ...]
    counted: Zeros


@dataclass(frozen=True)
class Sparsity:
    """The zeros of a model, layer after layer."""

    model: str
    layers: tuple[LayerZeros, ...]

    @property
    def total(self) -> Zeros:
        return sum((layer.counted for layer in self.layers), Zeros())

    def kinds(self) -> dict[str, Zeros]:
        """By type of layer, in the order in which they come first."""
        found: dict[str, Zeros] = {}
        for layer in self.layers:
            found[layer.kind] = found.get(layer.kind, Zeros()) + layer.counted
        return found

    def summary(self) -> str:
        """One line."""
        total = self.total
        channels = (
            f"; {total.empty_channels} of {total.channels} output channels of convolutions are "
            f"wholly zero ({total.empty_share:.1%})"
            if total.channels
            else ""
        )
        return (
            f"{total.zeros:,} of {total.weights:,} weights are zero ({total.share:.1%}){channels}"
        )


def sparsity(
    model: str | Path,
    layers: Iterable[str] = (),
    repo: str | Path | None = None,
    chip: str | None = None,
    cfg: str | Path | None = None,
) -> Sparsity:
    """Count the weights of a model that are exactly zero.

    Weights are what a layer multiplies its input with: kernels and matrices. Biases, batch
    normalization and other constants do not count. A weight of int8 is zero where it equals
    the zero point.

    Parameters
    ----------
    model
        A .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.
    layers
        Only these: module paths, what their paths start with, or patterns with ``*``. None: all.
    repo, chip, cfg
        As in `synet.inspection.summary.summarize`.

    Raises
    ------
    SynetError
        The model cannot be read, holds no weights, or has no such layer.
    """
    found = [
        _counted(kernel)
        for kernel in format_of(model).kernels(ModelSource(model, None, repo, chip, cfg))
    ]
    if not found:
        raise SynetError(f"{model}: no layer of it has weights")
    wanted = [name for name in layers if name]
    _refuse_unknown(str(model), wanted, [each.layer for each in found])
    chosen = [
        each for each in found if not wanted or any(_selects(name, each.layer) for name in wanted)
    ]
    return Sparsity(str(model), tuple(chosen))


def _counted(kernel: Kernel) -> LayerZeros:
    is_zero = kernel.weights == kernel.zero
    rows = len(is_zero) if kernel.is_convolution else 0
    counted = Zeros(
        weights=is_zero.size,
        zeros=int(np.count_nonzero(is_zero)),
        channels=rows,
        empty_channels=int(is_zero.all(1).sum()) if rows else 0,
    )
    return LayerZeros(kernel.layer, kernel.kind, kernel.shape, counted)


def _refuse_unknown(model: str, wanted: list[str], layers: list[str]) -> None:
    starts = {layer[: dot.start()] for layer in layers for dot in re.finditer(r"\.", layer)}
    for name in wanted:
        if not any(_selects(name, layer) for layer in layers):
            near = get_close_matches(name, [*layers, *sorted(starts)], cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the first is {layers[0]}"
            raise SynetError(f"{model}: no layer {name!r} has weights; {hint}")


def _selects(name: str, layer: str) -> bool:
    return layer == name or layer.startswith(f"{name}.") or fnmatchcase(layer, name)
