"""A float TFLite file, unpacked, to be read and changed operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class FloatFile:
    """The one graph of a float file.

    Parameters
    ----------
    model
        The file's bytes.

    Attributes
    ----------
    tensors, operators
        As the schema has them; `operators` in the order in which they run.
    inputs, outputs
        Numbers of the graph's tensors.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self._content = schema.ModelT.InitFromPackedBuf(model, 0)
        (self._graph,) = self._content.subgraphs
        self.tensors, self.operators = self._graph.tensors, self._graph.operators
        self.inputs, self.outputs = list(self._graph.inputs), list(self._graph.outputs)
        kinds = vars(schema.BuiltinOperator)
        self._kinds = {number: name for name, number in kinds.items() if name.isupper()}
        fused = vars(schema.ActivationFunctionType)
        self._fused = {number: name for name, number in fused.items() if name.isupper()}

    def kind(self, operator: Any) -> str:
        """The TFLite name of an operation."""
        code = self._content.operatorCodes[operator.opcodeIndex]
        return self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def fused(self, operator: Any) -> str:
        """The activation that is fused into it; NONE if there is none."""
        return self._fused[getattr(operator.builtinOptions, "fusedActivationFunction", 0)]

    def is_real(self, tensor: int) -> bool:
        """Does it hold real numbers that depend on the image?"""
        return self._is_float(tensor) and self._data(tensor) is None

    def constant(self, tensor: int) -> np.ndarray | None:
        """The real numbers of a constant; None of anything else."""
        data = self._data(tensor) if self._is_float(tensor) else None
        if data is None:
            return None
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32)
        return values.reshape(self.tensors[tensor].shape)

    def replace(self, operator: Any, kind: str, inputs: Sequence[int]) -> None:
        """Let an operation be another one, of no options, that writes the same tensor."""
        options = {"GELU": "GeluOptions", "HARD_SWISH": "HardSwishOptions", "MUL": "MulOptions"}[
            kind
        ]
        operator.opcodeIndex, operator.inputs = self._code(kind), list(inputs)
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()

    def scaled_constant(self, tensor: int, factor: float) -> int:
        """A new constant: `tensor`, multiplied."""
        return self._new(tensor, np.float32(factor) * np.asarray(self.constant(tensor)))

    def multiply_after(self, operator: Any) -> None:
        """Let a multiplication by 1 write what `operator` writes, which writes a tensor before."""
        (out,) = operator.outputs
        before, one = self._new(out), self._new(out, np.ones((), np.float32))
        operator.outputs = [before]
        multiplication = self.schema.OperatorT()
        self.replace(multiplication, "MUL", [before, one])
        multiplication.outputs = [out]
        self.operators.insert(self.operators.index(operator) + 1, multiplication)

    def drop_unread(self) -> None:
        """Drop the operations that no output depends on."""
        needed, kept = {*self.outputs}, []
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                kept.append(operator)
                needed.update(operator.inputs)
        self.operators[:] = kept[::-1]

    def packed(self) -> bytes:
        """The file's bytes, without the tensors and constants that no operation knows."""
        import flatbuffers

        used = {*self.inputs, *self.outputs}.union(
            *({*each.inputs, *each.outputs} for each in self.operators)
        )
        place = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}
        for owner in (self._graph, *self.operators):
            owner.inputs = [place[number] for number in owner.inputs]
            owner.outputs = [place[number] for number in owner.outputs]
        for signature in self._content.signatureDefs or []:
            for end in (*signature.inputs, *signature.outputs):
                end.tensorIndex = place[end.tensorIndex]
        self.tensors[:] = [self.tensors[old] for old in sorted(used - {-1})]
        kept = {tensor.buffer for tensor in self.tensors}
        kept.update(each.buffer for each in self._content.metadata or [])
        for number, buffer in enumerate(self._content.buffers):
            if number not in kept:
                buffer.data = None
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._content.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _is_float(self, tensor: int) -> bool:
        return tensor >= 0 and self.tensors[tensor].type == self.schema.TensorType.FLOAT32

    def _data(self, tensor: int) -> Any:
        return self._content.buffers[self.tensors[tensor].buffer].data

    def _name(self, tensor: int) -> str:
        name = self.tensors[tensor].name or b""
        return name.decode() if isinstance(name, bytes) else name

    def _new(self, like: int, values: np.ndarray | None = None) -> int:
        """A tensor that is called as another one; a constant of `values`, or as large as that."""
        tensor, buffer = self.schema.TensorT(), self.schema.BufferT()
        tensor.name, tensor.type = f"{self._name(like)}_scaled", self.schema.TensorType.FLOAT32
        tensor.shape = self.tensors[like].shape if values is None else list(values.shape)
        tensor.buffer = len(self._content.buffers)
        if values is not None:
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._content.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _code(self, kind: str) -> int:
        wanted = getattr(self.schema.BuiltinOperator, kind)
        for number, code in enumerate(self._content.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
                return number
        code = self.schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), 1
        self._content.operatorCodes.append(code)
        return len(self._content.operatorCodes) - 1
