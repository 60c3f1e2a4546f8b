from __future__ import annotations

import int8_pairs
import pytest

from synet.layerwise.origins import NotTwins, check_weights, find_origins
from synet.tflite.graph import Graph, Operator, Tensor, read_graph
from synet.tflite.model import TensorRunner


def graph_of(operators, names=(), shapes=None, inputs=(0,)):
    """Operators as (kind, reads, writes) over tensors of one shape."""
    count = 1 + max(number for _, *ends in operators for end in ends for number in end)
    shapes = shapes or {}
    tensors = tuple(
        Tensor(dict(enumerate(names)).get(at, f"t{at}"), shapes.get(at, (1, 4)), "int8", 4)
        for at in range(count)
    )
    made = tuple(Operator(kind, f"layer.{i}", *ends) for i, (kind, *ends) in enumerate(operators))
    return Graph(tensors, made, inputs, (count - 1,))


def test_a_converted_file_is_paired_by_name():
    reference, quantized = (read_graph(content) for content in int8_pairs.pair())
    origins = find_origins(reference, quantized)
    for number, operator in enumerate(quantized.operators):
        origin = reference.operators[origins.operators[number]]
        assert (operator.layer, operator.name) == (origin.layer, origin.name)
    assert len(origins.operators) == len(reference.operators) == 4
    for tensor, origin in origins.tensors.items():
        assert quantized.tensors[tensor].name == reference.tensors[origin].name


def test_what_the_quantizer_adds_and_renames():
    reference, quantized = (read_graph(content) for content in int8_pairs.odd_names())
    origins = find_origins(reference, quantized)
    kinds = [op.name for op in quantized.operators]
    assert [kinds[at] for at, origin in enumerate(origins.operators) if origin is None] == [
        "QUANTIZE"
    ]
    (added,) = (op for op in quantized.operators if op.name == "QUANTIZE")
    assert origins.tensors[added.outputs[0]] == origins.tensors[added.inputs[0]]
    (split,) = (op for op in quantized.operators if op.name == "SPLIT")
    (exact,) = (op for op in reference.operators if op.name == "SPLIT")
    assert tuple(origins.tensors[number] for number in split.outputs) == exact.outputs
    assert quantized.tensors[split.outputs[0]].name != reference.tensors[exact.outputs[0]].name


def test_layers_that_are_alike_are_told_apart_by_name():
    reference = graph_of([("CONV_2D", (0,), (1,)), ("CONV_2D", (0,), (2,))], ("x", "a", "b"))
    quantized = graph_of([("CONV_2D", (0,), (1,)), ("CONV_2D", (0,), (2,))], ("x", "b", "a"))
    assert find_origins(reference, quantized).operators == (1, 0)


def test_layers_that_are_alike_and_nameless_keep_their_order():
    reference = graph_of([("CONV_2D", (0,), (1,)), ("CONV_2D", (0,), (2,))], ("x", "a", "b"))
    quantized = graph_of([("CONV_2D", (0,), (2,)), ("CONV_2D", (0,), (1,))], ("x", "c", "d"))
    origins = find_origins(reference, quantized)
    assert (origins.operators, origins.tensors) == ((0, 1), {0: 0, 2: 1, 1: 2})


def test_a_file_that_is_quantized_between_its_ends():
    reference = graph_of([("RELU", (0,), (1,))])
    quantized = graph_of(
        [("QUANTIZE", (0,), (1,)), ("RELU", (1,), (2,)), ("DEQUANTIZE", (2,), (3,))]
    )
    assert find_origins(reference, quantized).operators == (None, 0, None)


CHAIN = [("RELU", (0,), (1,)), ("ADD", (0, 1), (2,)), ("TANH", (2,), (3,))]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (graph_of(CHAIN, shapes={0: (1, 5)}), "it takes 5, and the float model 4"),
        (graph_of(CHAIN, inputs=(0, 1)), "it takes 4 and 4, and the float model 4"),
        (graph_of(CHAIN[:2]), "it has no TANH layer.2 of 4 as the float model has"),
        (graph_of([*CHAIN, ("TANH", (3,), (4,))]), "the float model has no TANH layer.3 of 4"),
        (graph_of([CHAIN[0], ("ADD", (1, 1), (2,))]), "the float model has no ADD layer.1 of 4"),
        (graph_of(CHAIN, shapes={2: (1, 2, 4)}), "the float model has no ADD layer.1 of 2x4"),
    ],
)
def test_what_is_no_twin(other, said):
    with pytest.raises(NotTwins) as caught:
        find_origins(graph_of(CHAIN), other)
    assert str(caught.value) == said


def checked(reference, quantized):
    graphs = read_graph(reference), read_graph(quantized)
    runners = TensorRunner(reference), TensorRunner(quantized)
    check_weights(find_origins(*graphs), *graphs, *runners)


@pytest.mark.parametrize("made", [int8_pairs.pair, int8_pairs.odd_names, int8_pairs.faint])
def test_weights_that_are_those_of_the_float_file(made):
    checked(*made())


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_weights_of_one_channel_are_others(kind):
    """Along the axis that has a scale for each channel, whichever it is."""
    reference, quantized = int8_pairs.odd_names()
    (operator,) = (op for op in read_graph(reference).operators if op.name == kind)
    with pytest.raises(NotTwins, match="the weights of .* are not those of the float") as caught:
        checked(int8_pairs.changed(reference, operator.weights), quantized)
    assert operator.layer in str(caught.value)


def test_weights_of_another_training():
    reference, _ = int8_pairs.pair(False, seed=0)
    _, quantized = int8_pairs.pair(False, seed=1)
    with pytest.raises(NotTwins, match="the weights of model.0.conv are not those of the float"):
        checked(reference, quantized)
