from __future__ import annotations

import int8_pairs
import numpy as np
import pytest

from synet.layerwise.isolated import Isolated
from synet.tflite.graph import read_graph
from synet.tflite.model import TensorRunner


@pytest.fixture(scope="module")
def graph():
    return read_graph(int8_pairs.odd_names()[1])


def reads_of(graph):
    return {
        number: graph.activations(operator.inputs)
        for number, operator in enumerate(graph.operators)
    }


def test_given_what_they_read_the_pieces_do_as_the_whole(graph):
    content = int8_pairs.odd_names()[1]
    whole, pieces = TensorRunner(content), Isolated(content, reads_of(graph))
    (image,) = graph.inputs
    random = np.random.default_rng(0)
    whole.run({image: random.integers(-128, 128, (1, *int8_pairs.SHAPE, 3), np.int8)})
    pieces.run({written.tensor: whole.values(written.tensor) for written in graph.written()})
    for operator in graph.operators:
        for tensor in operator.outputs:
            np.testing.assert_array_equal(pieces.values(tensor), whole.values(tensor))


def test_no_piece_sees_another(graph):
    """Other values under one key change what those write that read it, and nothing else."""
    pieces = Isolated(int8_pairs.odd_names()[1], reads_of(graph))
    random = np.random.default_rng(0)
    given = {
        each.tensor: random.integers(-128, 128, graph.tensors[each.tensor].shape, np.int8)
        for each in graph.written()
    }
    pieces.run(given)
    outputs = [number for operator in graph.operators for number in operator.outputs]
    before = {number: pieces.values(number) for number in outputs}
    key = graph.operators[1].outputs[0]
    pieces.run(given | {key: given[key][:, ::-1]})
    changed = {n for n in outputs if not np.array_equal(pieces.values(n), before[n])}
    readers = {to for op in graph.operators if key in op.inputs for to in op.outputs}
    assert changed == readers and len(readers) < len(outputs)


def test_some_of_them_with_inputs_of_their_own(graph):
    """Two operations that read one tensor may be given different values."""
    readers = [
        n for n, op in enumerate(graph.operators) if graph.operators[1].outputs[0] in op.inputs
    ]
    assert len(readers) == 2
    pieces = Isolated(int8_pairs.odd_names()[1], {n: [f"key {n}"] for n in readers})
    shape = graph.tensors[graph.operators[1].outputs[0]].shape
    pieces.run({f"key {n}": np.full(shape, 50 * at, np.int8) for at, n in enumerate(readers)})
    first, second = (pieces.values(graph.operators[n].outputs[0]) for n in readers)
    assert len(np.unique(first)) == len(np.unique(second)) == 1
