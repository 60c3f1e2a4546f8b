"""Which tensor of a float TFLite model each tensor of its int8 form stands for.

A quantizer keeps the operations, and what each of them reads. It adds QUANTIZE where an operation
wants another scale than its input has, and gives some tensors other names. So an int8 operation is
paired with the float one of its kind that reads and writes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from synet.system.errors import SynetError
from synet.tflite.graph import Graph, Operator
from synet.tflite.model import TensorRunner

ADDED = {"QUANTIZE", "DEQUANTIZE"}  # what a quantizer puts between
STEPS = 1.0  # how far off int8 weights may be; rounding makes half a step
FULL = 0.999 * 2**30  # a bias that TensorFlow has made room for fills half of int32


class NotTwins(SynetError):
    """An int8 model that was made from another float model: the message says how they differ."""


@dataclass(frozen=True)
class Origins:
    """How an int8 graph and the float graph that it was made from belong together.

    Parameters
    ----------
    operators
        For each operation of the int8 graph, the number of the float one; None where the
        quantizer added it.
    tensors
        For each activation of the int8 graph, by number, the float one.
    """

    operators: tuple[int | None, ...]
    tensors: dict[int, int]


def find_origins(reference: Graph, quantized: Graph) -> Origins:
    """Pair the operations of an int8 graph with those of the float graph that it was made from.

    Raises
    ------
    NotTwins
        It was made from another one.
    """
    given, wanted = (_shapes(graph, graph.inputs) for graph in (quantized, reference))
    if given != wanted:
        raise NotTwins(f"it takes {given}, and the float model {wanted}")
    tensors = dict(zip(quantized.inputs, reference.inputs, strict=True))
    waiting: dict[tuple[object, ...], list[int]] = {}
    for number, operator in enumerate(reference.operators):
        waiting.setdefault(_likeness(reference, operator), []).append(number)

    operators: list[int | None] = []
    for operator in quantized.operators:
        alike = waiting.get(_likeness(quantized, operator, tensors), [])
        if alike:
            # layers side by side may be alike, and then have the names that they had
            name = _name(quantized, operator)
            same = (n for n in alike if _name(reference, reference.operators[n]) == name)
            origin = next(same, alike[0])
            alike.remove(origin)
            outputs = reference.operators[origin].outputs
        elif operator.name in ADDED:
            origin, outputs = None, tuple(tensors[number] for number in operator.inputs)
        else:
            raise NotTwins(f"the float model has no {_described(quantized, operator)}")
        operators.append(origin)
        tensors |= zip(operator.outputs, outputs, strict=True)
    left = sorted(number for alike in waiting.values() for number in alike)
    if left:
        operator = reference.operators[left[0]]
        raise NotTwins(f"it has no {_described(reference, operator)} as the float model has")
    return Origins(tuple(operators), tensors)


def check_weights(
    origins: Origins, reference: Graph, quantized: Graph, floats: TensorRunner, int8s: TensorRunner
) -> None:
    """Make sure that the int8 weights are the float ones, rounded.

    Raises
    ------
    NotTwins
        Those of a layer are not.
    """
    for operator, origin in zip(quantized.operators, origins.operators, strict=True):
        if origin is None or operator.weights is None:
            continue
        weights, exact = quantized.tensors[operator.weights], reference.operators[origin].weights
        if exact is None or not (weights.is_constant and reference.tensors[exact].is_constant):
            continue
        steps = np.array(weights.scale or [1], np.float32)
        channels = -1 if operator.name == "DEPTHWISE_CONV_2D" else 0  # the axis that has them
        steps = np.moveaxis(steps.reshape(-1, *[1] * (len(weights.shape) - 1)), 0, channels)
        trained = floats.values(exact)
        levels = int8s.values(operator.weights).astype(np.float32) - (*weights.zero_point, 0)[0]
        if _rounded(levels, steps, trained):
            continue
        if operator.bias is not None and np.abs(int8s.values(operator.bias)).max() >= FULL:
            # Inputs are faint beside the bias: the scale was raised for it, and the levels stayed.
            axes = tuple(axis for axis in range(trained.ndim) if steps.shape[axis] == 1)
            if _rounded(levels, np.abs(trained).max(axes, keepdims=True) / 127, trained):
                continue
        raise NotTwins(f"the weights of {operator.layer} are not those of the float model")


def _rounded(levels: np.ndarray, steps: np.ndarray, exact: np.ndarray) -> bool:
    return bool((np.abs(exact - levels * steps) <= STEPS * steps).all())


def _likeness(
    graph: Graph, operator: Operator, tensors: Mapping[int, int] | None = None
) -> tuple[object, ...]:
    """What an operation and its origin share: kind, float tensors that are read, shapes written."""
    reads = graph.activations(operator.inputs)
    if tensors is not None:
        reads = tuple(tensors[number] for number in reads)
    return operator.name, reads, tuple(graph.tensors[number].shape for number in operator.outputs)


def _name(graph: Graph, operator: Operator) -> str:
    return graph.tensors[operator.outputs[0]].name


def _described(graph: Graph, operator: Operator) -> str:
    return f"{operator.name} {operator.layer} of {_shapes(graph, operator.outputs)}"


def _shapes(graph: Graph, numbers: Iterable[int]) -> str:
    return " and ".join("x".join(map(str, graph.tensors[n].shape[1:])) for n in numbers)
