"""A TFLite model cut into its operations, each of which runs on its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from synet.tflite.model import TensorRunner
from synet.tflite.trial import vouch


class Isolated:
    """Operations of a model, none of which reads what another one writes.

    It is one model still, and runs in one go: what an operation reads is an input of the model, and
    what any of them writes is an output.

    Parameters
    ----------
    model
        A TFLite file.
    reads
        By number of the operation, a key for each activation that it reads, in its order.
        Operations with the same key are given the same values; those that are not in it do not run.
    reference_kernels
        As for `TensorRunner`.
    """

    def __init__(
        self,
        model: bytes,
        reads: Mapping[int, Sequence[Hashable]],
        reference_kernels: bool = False,
    ) -> None:
        content, self._inputs = _cut(model, reads)
        self._runner = TensorRunner(content, reference_kernels)

    def run(self, given: Mapping[Any, np.ndarray]) -> None:
        """Run on values by key, as the model stores them; those that nothing reads are left."""
        self._runner.run({number: given[key] for key, number in self._inputs.items()})

    def values(self, tensor: int) -> np.ndarray:
        """What an operation wrote, by the number that the tensor has in the whole model."""
        return self._runner.values(tensor)


def _cut(
    model: bytes, reads: Mapping[int, Sequence[Hashable]]
) -> tuple[bytes, dict[Hashable, int]]:
    """The model in pieces, and by key the number of the tensor that is now an input."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    main = content.subgraphs[0]
    stored = [buffer.data is not None and len(buffer.data) > 0 for buffer in content.buffers]
    is_constant = [stored[tensor.buffer] for tensor in main.tensors]
    inputs: dict[Hashable, int] = {}
    for number, keys in reads.items():
        operator = main.operators[number]
        operator.inputs = list(operator.inputs)
        # an input that an operation does without has the number -1
        places = [at for at, n in enumerate(operator.inputs) if n >= 0 and not is_constant[n]]
        for at, key in zip(places, keys, strict=True):
            if key not in inputs:
                inputs[key] = len(main.tensors)
                main.tensors.append(main.tensors[operator.inputs[at]])
            operator.inputs[at] = inputs[key]
    main.operators = [main.operators[number] for number in reads]
    main.inputs = list(inputs.values())
    main.outputs = [number for operator in main.operators for number in operator.outputs]
    content.signatureDefs = None  # they name the inputs and outputs that were
    builder = flatbuffers.Builder(len(model))
    builder.Finish(content.Pack(builder), b"TFL3")
    return vouch(bytes(builder.Output())), inputs
