"""Ranges of tensors that are known, whatever the calibration images show.

- An image is 0 to 1, so its scale is 1/255 and its zero point -128: firmware gives it
  ``pixel - 128``. What joins, cuts or shifts the image follows from that.
- In int8 a logistic function and a softmax always give steps of 1/256: what joins several of them
  keeps that scale, or each would be scaled once more. So does their product, where it is a score.
- A logistic function of less than -8 is 0, so its input needs no scale that reaches further; nor
  does that of a GELU below -4, or of a HARD_SWISH below -3.
- Corners and keypoints may lie anywhere in the image, though none of the images that were looked
  at has an object there: their range is the longer side, back to where they are clipped to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Range = tuple[float, float]

IMAGE = (0.0, 1.0)
SHARES = (0.0, 255 / 256)  # what int8 holds of a logistic function or a softmax
# What is all the same to an operation beyond: the logistic function of 8 is 1 - 1/2981, the GELU of
# -4 is -1/7900.
SATURATED = {
    "LOGISTIC": (-8.0, 8.0),
    "GELU": (-4.0, math.inf),
    "HARD_SWISH": (-3.0, math.inf),
}
# Outputs by their names, see `synet.layers.heads.form.HeadForm`.
PLACES = ("x1y1", "x2y2", "keypoints")
CHANCES = ("scores", "presence", "probabilities", "angles")
FRACTION = 2.0  # places that all lie below it are told as fractions of the image, not in pixels

COPIES = (  # what they write is some of what they read
    *("CONCATENATION", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V"),
    *("PACK", "UNPACK", "SQUEEZE", "EXPAND_DIMS", "TILE", "GATHER", "SPACE_TO_DEPTH"),
    *("DEPTH_TO_SPACE", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR"),
)


def known_ranges(content: Any, seen: dict[int, Range]) -> dict[int, Range]:
    """The ranges that are known of a float TFLite file, by number of the tensor.

    Parameters
    ----------
    content
        The file, unpacked.
    seen
        The range over the images of each tensor that is no constant.
    """
    graph = _Graph(content, seen)
    known = dict.fromkeys(graph.inputs, IMAGE)
    for operation in graph.operations:
        found = graph.follows(operation, known)
        if found is not None:
            known |= dict.fromkeys(operation.outputs, found)
    for name, tensor in graph.outputs():
        wanted = _of_output(name, seen[tensor], graph.longer_side)
        if wanted is not None and tensor not in known:
            known |= graph.back(tensor, wanted)
    return known | graph.saturated()


def _of_output(name: str, seen: Range, side: float) -> Range | None:
    """At least what an output of this name may be; None where the name tells nothing."""
    if name in CHANCES and 0 <= seen[0] <= seen[1] <= 1:
        return SHARES
    if name in PLACES:
        return min(seen[0], 0.0), max(seen[1], side if seen[1] > FRACTION else 1.0)
    return None


class _Graph:
    """A float TFLite file, as what is known of its ranges follows from its operations."""

    def __init__(self, content: Any, seen: dict[int, Range]) -> None:
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        self._names: dict[int, str] = {
            v: k for k, v in vars(BuiltinOperator).items() if isinstance(v, int)
        }
        self._content, self._seen, (self._graph,) = content, seen, content.subgraphs
        self.operations, self.inputs = self._graph.operators, self._graph.inputs
        self._makers = {out: each for each in self.operations for out in each.outputs}
        self.longer_side = float(max(self._graph.tensors[self.inputs[0]].shape[1:3]))

    def outputs(self) -> Iterator[tuple[str, int]]:
        """The outputs of real numbers, by their names in the signature."""
        for signature in (self._content.signatureDefs or [])[:1]:
            for each in signature.outputs:
                if each.tensorIndex in self._seen:
                    name = each.name.decode() if isinstance(each.name, bytes) else each.name
                    yield name, each.tensorIndex

    def follows(self, operation: Any, known: dict[int, Range]) -> Range | None:
        """The range of what an operation writes, where that follows from what is known."""
        kind, (moving, constants) = self._kind(operation), self._reads(operation)
        if kind in ("LOGISTIC", "SOFTMAX"):
            return SHARES
        ranges = {known.get(tensor) for tensor in moving}
        only = ranges.pop() if len(ranges) == 1 else None
        if only is None:
            return None
        low, high = only
        if kind == "PAD" and low <= 0 <= high:
            return low, high
        if kind in COPIES:
            return (low, high) if not constants else None
        if len(moving) != 1 or len(constants) != 1 or self._is_clipped(operation):
            return None
        ends = np.array([[low], [high]]), np.array([constants[0].min(), constants[0].max()])
        if kind == "SUB" and operation.inputs[0] not in moving:
            ends = ends[::-1]
        arithmetic = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}.get(kind)
        if arithmetic is None:
            return None
        reached = arithmetic(*ends)
        return float(reached.min()), float(reached.max())

    def back(self, tensor: int, wanted: Range) -> dict[int, Range]:
        """What `tensor` and all that is merely copied or scaled to it must hold."""
        found = {tensor: wanted}
        operation = self._makers.get(tensor)
        if operation is None:
            return found
        kind, (moving, constants) = self._kind(operation), self._reads(operation)
        if kind == "MUL" and len(moving) == len(constants) == 1 and not self._is_clipped(operation):
            if constants[0].size != 1 or constants[0].item() <= 0:
                return found
            wanted = tuple(end / constants[0].item() for end in wanted)
        elif kind not in COPIES:
            return found
        for source in moving:
            found |= self.back(source, wanted)
        return found

    def saturated(self) -> dict[int, Range]:
        """Of what one kind of operation alone reads, which does not tell all of it apart."""
        readers: dict[int, set[str]] = {}
        for operation in self.operations:
            for tensor in self._reads(operation)[0]:
                readers.setdefault(tensor, set()).add(self._kind(operation))
        return {
            tensor: tuple(np.clip(self._seen[tensor], *SATURATED[kind]))
            for tensor, (kind, *others) in readers.items()
            if kind in SATURATED and not others
        }

    def _kind(self, operation: Any) -> str:
        code = self._content.operatorCodes[operation.opcodeIndex]
        return self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def _reads(self, operation: Any) -> tuple[list[int], list[np.ndarray]]:
        """What of its real numbers depends on the image, by number, and the constants."""
        from ai_edge_litert.schema_py_generated import TensorType

        moving, constants = [], []
        for tensor in operation.inputs:
            if tensor in self._seen:
                moving.append(tensor)
            elif tensor >= 0 and self._graph.tensors[tensor].type == TensorType.FLOAT32:
                data = self._content.buffers[self._graph.tensors[tensor].buffer].data
                constants.append(np.asarray(data, np.uint8).view(np.float32))
        return moving, constants

    def _is_clipped(self, operation: Any) -> bool:
        return bool(getattr(operation.builtinOptions, "fusedActivationFunction", 0))
