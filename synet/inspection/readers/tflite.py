"""Layers of TFLite files: a row an operation, as `synet profile` has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synet.inspection.readers.formats import Kernel, Layer, ModelSource, matrix, refuse_other_shape
from synet.system.errors import SynetError
from synet.tflite.graph import Graph, Operator, read_graph
from synet.tflite.model import read_content

CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": 3}  # of weights; of all others the first


def layers(source: ModelSource) -> list[Layer]:
    """The operations.

    Raises
    ------
    SynetError
        No TFLite file, or one for images of another shape.
    """
    graph = read_graph(source.model)
    refuse_other_shape(source, graph.tensors[graph.inputs[0]].shape[1:3])
    seen: set[int] = set()
    return [
        Layer(
            name=operator.layer,
            kind=operator.name,
            shape=graph.tensors[operator.outputs[0]].shape,
            parameters=_parameters(graph, operator, seen),
            macs=operator.macs,
        )
        for operator in graph.operators
    ]


def kernels(source: ModelSource) -> Iterator[Kernel]:
    """The weights of convolutions and fully connected layers.

    Raises
    ------
    SynetError
        No TFLite file, or one with weights of a type that numpy has not.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph, (name, content) = read_graph(source.model), read_content(source.model)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    stored = model.subgraphs[0].tensors
    seen: set[int] = set()
    for operator in graph.operators:
        number = operator.weights
        if number is None or number in seen or not graph.tensors[number].is_constant:
            continue
        seen.add(number)
        tensor = graph.tensors[number]
        try:
            data = model.buffers[stored[number].buffer].data
            weights = np.frombuffer(data, tensor.dtype).reshape(tensor.shape)
        except (TypeError, ValueError):
            raise SynetError(
                f"{name}: {operator.layer} has weights of {tensor.dtype}, which cannot be counted"
            ) from None
        yield Kernel(
            layer=operator.layer,
            kind=operator.name,
            shape=tensor.shape,
            weights=matrix(weights, CHANNEL_AXIS.get(operator.name, 0)),
            zero=tensor.zero_point[0] if tensor.zero_point else 0,
        )


def _parameters(graph: Graph, operator: Operator, seen: set[int]) -> int:
    """Constants that are numbers of the network, and not a shape or an axis, each counted once."""
    total = 0
    for number in set(operator.inputs) - seen:
        tensor = graph.tensors[number]
        if tensor.is_constant and (tensor.scale or tensor.dtype.startswith("float")):
            seen.add(number)
            total += int(np.prod(tensor.shape))
    return total
