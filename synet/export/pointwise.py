"""What a TFLite file computes value by value, as functions that can be looked at.

An activation is one operation or many, and is told by what it does: each tensor that follows from
one other alone, value by value, is a function of that, whose values are worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from synet.export.float_file import FloatFile

GRID = np.linspace(-12, 12, 193)  # where functions are looked at


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * torch.special.erfc(torch.from_numpy(np.asarray(-x / np.sqrt(2)))).numpy() / 2


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "NEG": np.negative,
    "ABS": np.abs,
    "SQUARE": np.square,
    "SQRT": np.sqrt,
    "EXP": np.exp,
    "LOG": np.log,
    "TANH": np.tanh,
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)),
    "GELU": _gelu,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
}
_CLIPS = {"NONE": lambda x: x, "RELU": FUNCTIONS["RELU"], "RELU6": FUNCTIONS["RELU6"]}


class Pointwise(NamedTuple):
    """A tensor, by number, that is a function of another one, with its values on `GRID`."""

    source: int
    tensor: int
    values: np.ndarray


def pointwise(file: FloatFile) -> Iterator[Pointwise]:
    """Every tensor that is a function of another, for each that it is one of, in order.

    The farthest source is the first: of x times its logistic both x and the logistic are known.
    """
    known: dict[int, dict[int, np.ndarray]] = {}  # functions of sources, by tensor

    def views(tensor: int) -> dict[int, np.ndarray]:
        return {**known.get(tensor, {}), tensor: GRID}

    with np.errstate(all="ignore"):
        for operator in file.operators:
            function = FUNCTIONS.get(file.kind(operator))
            clip = _CLIPS.get(file.fused(operator))
            moving = [tensor for tensor in operator.inputs if file.is_real(tensor)]
            constants = [file.constant(tensor) for tensor in operator.inputs]
            if function is None or clip is None or not moving:
                continue
            if any(each is not None and each.size != 1 for each in constants):
                continue
            shared = [source for source in views(moving[0])]
            shared = [source for source in shared if all(source in views(t) for t in moving)]
            (out,) = operator.outputs
            for source in shared:
                given = (
                    views(tensor)[source] if constant is None else constant.item()
                    for tensor, constant in zip(operator.inputs, constants, strict=True)
                )
                found = Pointwise(source, out, clip(function(*given)))
                known.setdefault(out, {})[source] = found.values
                yield found
