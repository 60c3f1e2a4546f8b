"""By how much each tensor of a float file may be told smaller than it is.

A tensor whose values are all stored as a part of themselves costs nothing where the operations
around it do not mind. Many keep whatever factor their inputs have: those tensors are of one group.
Operations with weights take one factor and give another, for it goes into their weights. All
others want the numbers themselves, and so does whoever reads the outputs: those are pinned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from synet.export.float_file import FloatFile
from synet.export.ranges import COPIES

KEEPING = (  # f(a x) is a f(x) for all a above 0
    *COPIES,
    *("PAD", "MIRROR_PAD", "ADD", "SUB", "MAXIMUM", "MINIMUM", "NEG", "ABS", "RELU", "LEAKY_RELU"),
    *("MEAN", "SUM", "REDUCE_MAX", "AVERAGE_POOL_2D", "RESIZE_BILINEAR"),
)
# Where the image, the weights and the bias stand.
WEIGHTED = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
STRAIGHT = ("NONE", "RELU")  # fused activations that keep any factor


class Groups:
    """The tensors of a file that have to have the same factor.

    Parameters
    ----------
    file
        Its operations and tensors.
    put
        Operations that stand in for others, which give the factor that is theirs to what they
        write; True for each that has to read it, too.
    """

    def __init__(self, file: FloatFile, put: Sequence[tuple[Any, bool]]) -> None:
        self._of = list(range(len(file.tensors)))
        pinned = {*file.inputs, *file.outputs}
        for operator in file.operators:
            real = [t for t in (*operator.inputs, *operator.outputs) if file.is_real(t)]
            reads_it = next((reads for each, reads in put if each is operator), None)
            if reads_it or _keeps(file, operator):
                self._join(real)
            elif reads_it is not None:
                pinned |= {*operator.inputs}
            else:
                pinned |= {*real} - {*_free(file, operator)}
        self._pinned = {self.of(tensor) for tensor in pinned}

    def of(self, tensor: int) -> int:
        """The group of a tensor: the same number for all of its members."""
        while self._of[tensor] != tensor:
            self._of[tensor] = tensor = self._of[self._of[tensor]]
        return tensor

    def is_pinned(self, tensor: int) -> bool:
        """Is its factor 1?"""
        return self.of(tensor) in self._pinned

    def _join(self, tensors: Sequence[int]) -> None:
        for tensor in tensors[1:]:
            self._of[self.of(tensor)] = self.of(tensors[0])


def absorb(file: FloatFile, factors: Sequence[float]) -> None:
    """Let weights and biases take the factors of what their operations read and write.

    Parameters
    ----------
    factors
        Of each tensor: it stores its values divided by that.
    """
    scaled: dict[tuple[int, float], int] = {}
    for operator in file.operators:
        inputs = list(operator.inputs)
        for at, factor in _changes(file, operator, factors):
            key = inputs[at], factor
            if key not in scaled:
                scaled[key] = file.scaled_constant(*key)
            inputs[at] = scaled[key]
        operator.inputs = inputs


def _keeps(file: FloatFile, operator: Any) -> bool:
    """Does it keep whatever factor its inputs have?"""
    has_constants = any(file.constant(tensor) is not None for tensor in operator.inputs)
    return file.kind(operator) in KEEPING and file.fused(operator) in STRAIGHT and not has_constants


def _free(file: FloatFile, operator: Any) -> list[int]:
    """Tensors of an operation with weights that may have any factor, each its own."""
    places = _places(file, operator)
    if places is None:
        return []
    return [
        operator.inputs[places[0]],
        *(operator.outputs if file.fused(operator) in STRAIGHT else ()),
    ]


def _places(file: FloatFile, operator: Any) -> tuple[int, int, int | None] | None:
    """Where the image, the weights and the bias are among its inputs; None if it has no weights."""
    kind, inputs = file.kind(operator), operator.inputs
    if kind == "MUL":  # by a constant, on either side
        image = 0 if file.is_real(inputs[0]) else 1
        found: tuple[int, int, int | None] = image, 1 - image, None
    elif kind in WEIGHTED:
        image, weights, bias = WEIGHTED[kind]
        has_bias = len(inputs) > bias and inputs[bias] >= 0
        found = image, weights, bias if has_bias else None
    else:
        return None
    constants = [inputs[at] for at in found[1:] if at is not None]
    return found if all(file.constant(tensor) is not None for tensor in constants) else None


def _changes(
    file: FloatFile, operator: Any, factors: Sequence[float]
) -> Iterator[tuple[int, float]]:
    """Inputs of an operation, by their place, that are to be multiplied, and by what."""
    places = _places(file, operator)
    if places is None:
        return
    image, weights, bias = places
    before, after = factors[operator.inputs[image]], factors[operator.outputs[0]]
    if before != after:
        yield weights, before / after
    if after != 1 and bias is not None:
        yield bias, 1 / after
