"""A TFLite model as a frozen graph: what each operation reads, writes, costs and keeps in memory.

The flatbuffer is read with the schema that LiteRT ships; neither TensorFlow nor
the runtime is involved, so a graph is there in milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from synet.errors import SynetError
from synet.tflite import read_content

INPUT = "input"  # the layer that the image counts as

# The operations with weights, and where a bias stands among their inputs; the weights stand second.
_BIAS_AT = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}

# The other types end in their number of bits.
_BITS = {"bool": 8, "float8_e4m3fn": 8, "float8_e5m2": 8, "string": 0, "resource": 0, "variant": 0}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; `shape` is NHWC for images, and OHWI or 1HWC for weights.

    `scale` and `zero_point` hold one value a channel where the tensor is
    quantized so, and none where it is not quantized. `bytes` is its size in memory.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    is_constant: bool = False


@dataclass(frozen=True)
class Operator:
    """One operation. `inputs` and `outputs` number the graph's tensors.

    `weights` and `bias` are the numbers of those inputs, None where it has none.
    `layer` is the path of the layer that it comes from. `options` holds, where
    the operation has them, `kernel`, `stride` and `dilation` as (height, width),
    `padding` (SAME, VALID) and `activation` (NONE, RELU6, ...), the one fused
    into it. `weight_bytes` counts each constant with the first operation that
    reads it, `macs` the multiply-accumulates.
    """

    name: str
    layer: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    weights: int | None = None
    bias: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    weight_bytes: int = 0
    macs: int = 0


@dataclass(frozen=True)
class Held:
    """Bytes in memory that one layer wrote; those of the image belong to the layer `INPUT`."""

    layer: str
    bytes: int


class Written(NamedTuple):
    """A tensor of the graph, by number, with the layer and the operation that write it."""

    tensor: int
    layer: str
    op: str


@dataclass(frozen=True)
class Graph:
    """A model: `operators` in the order in which they run over `tensors`."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def weight_bytes(self) -> int:
        """Bytes of every constant that an operation reads, each stored constant once."""
        return sum(operator.weight_bytes for operator in self.operators)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions and fully connected layers."""
        return sum(operator.macs for operator in self.operators)

    def activations(self, tensors: Iterable[int]) -> tuple[int, ...]:
        """Those of some tensors, by number, that are no constants."""
        return tuple(number for number in tensors if not self.tensors[number].is_constant)

    def written(self) -> tuple[Written, ...]:
        """Every activation, in the order in which they come about, the model's inputs first."""
        given = [Written(tensor, INPUT, "INPUT") for tensor in self.inputs]
        made = [Written(to, op.layer, op.name) for op in self.operators for to in op.outputs]
        return (*given, *made)

    def lifetimes(self) -> dict[int, tuple[int, int]]:
        """From which operation to which each activation is in memory, both included.

        A tensor is alive from the operation that writes it to the last one that
        reads it; the model's inputs from the start, its outputs to the end.
        """
        end = len(self.operators) - 1
        first = {tensor: 0 for tensor in self.inputs}
        last = dict(first)
        for step, operator in enumerate(self.operators):
            for tensor in operator.inputs:
                first.setdefault(tensor, 0)
                last[tensor] = step
            for tensor in operator.outputs:
                first[tensor] = last[tensor] = step
        last |= {tensor: end for tensor in self.outputs}

        alive = (tensor for tensor in first if not self.tensors[tensor].is_constant)
        return {tensor: (first[tensor], last[tensor]) for tensor in alive}

    def alive_bytes(self) -> list[int]:
        """Bytes of activations in memory while each operation runs.

        Constants do not count, nor does scratch memory of a kernel, and no two tensors share
        their place.
        """
        change = [0] * (len(self.operators) + 1)
        for tensor, (first, last) in self.lifetimes().items():
            change[first] += self.tensors[tensor].bytes
            change[last + 1] -= self.tensors[tensor].bytes
        return list(accumulate(change[:-1]))

    def alive(self, step: int) -> tuple[Held, ...]:
        """The activations in memory while operation number `step` runs, the largest first."""
        layers = self.writers()
        found = [
            Held(layers[tensor], self.tensors[tensor].bytes)
            for tensor, (first, last) in self.lifetimes().items()
            if first <= step <= last
        ]
        return tuple(sorted(found, key=lambda held: -held.bytes))

    def writers(self) -> dict[int, str]:
        """The layer that writes each activation."""
        written = {tensor: op.layer for op in self.operators for tensor in op.outputs}
        return dict.fromkeys(self.inputs, INPUT) | written

    def peak_activation(self) -> tuple[int, int]:
        """The largest of :meth:`alive_bytes`, and the number of the operation it is at."""
        alive = self.alive_bytes()
        peak = max(alive)
        return peak, alive.index(peak)


def read_graph(source: str | Path | bytes) -> Graph:
    """The main graph of a TFLite model.

    Parameters
    ----------
    source
        A path, or the file's content.

    Raises
    ------
    SynetError
        The file cannot be read, is not a TFLite file, or is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    name, content = read_content(source)
    try:
        graph = _Reader(schema, content).graph()
    except Exception as error:
        # The generated schema code trusts its input: where a file is cut off or
        # overwritten decides which of a dozen exceptions it ends in.
        raise SynetError(f"{name} is damaged, make it again ({error})") from None
    if not graph.operators:
        raise SynetError(f"{name} holds no operations")
    return graph


def layer_path(tensor_name: str) -> str:
    """The layer that a tensor comes from; empty where its name does not tell.

    The converter names a tensor after every operation that it fused into it,
    parted by semicolons, each within the scope of the model and the layer.

    >>> layer_path("functional_1/model.9.act_1/Relu6;functional_1/model.9.conv_1/convolution")
    'model.9.conv'
    """
    name = min(filter(None, tensor_name.split(";")), key=_fusion_rank, default="")
    scopes = [scope for scope in name.split("/") if scope]
    if not scopes or re.match(r"(Stateful)?PartitionedCall|Identity|tfl\.", name):
        return ""
    at = next((at for at, scope in enumerate(scopes) if "." in scope), min(1, len(scopes) - 1))
    is_scope = at < len(scopes) - 1
    # The converter numbers the scope of every layer anew.
    return re.sub(r"_\d+$", "", scopes[at]) if is_scope else scopes[at]


def _fusion_rank(part: str) -> int:
    """What names a fused operation best: its arithmetic, then anything but its epilogue."""
    operation = part.rpartition("/")[2].lower()
    if re.search(r"conv|depthwise|matmul", operation):
        return 0
    return 2 if re.search(r"relu|batchnorm|bias", part.lower()) else 1


class _Reader:
    """The schema's objects, and how each of them becomes one of ours."""

    def __init__(self, schema: Any, content: bytes):
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.main = self.model.subgraphs[0]
        self.operations = _names(schema.BuiltinOperator)
        self.types = _names(schema.TensorType)
        self.paddings = _names(schema.Padding)
        self.activations = _names(schema.ActivationFunctionType)
        buffers = (buffer.data for buffer in self.model.buffers)
        self.stored_bytes = [0 if data is None else len(data) for data in buffers]
        self.tensors = tuple(self.tensor(raw) for raw in self.main.tensors)

    def graph(self) -> Graph:
        return Graph(
            self.tensors, self.operators(), _numbers(self.main.inputs), _numbers(self.main.outputs)
        )

    def tensor(self, raw: Any) -> Tensor:
        dtype = self.types[raw.type].lower()
        bits = _BITS[dtype] if dtype in _BITS else int(re.sub(r"\D+", "", dtype))
        shape = _numbers(raw.shape)
        quantization = raw.quantization
        quantized = quantization is not None and quantization.scale is not None
        return Tensor(
            name=(raw.name or b"").decode(),
            shape=shape,
            dtype=dtype,
            bytes=math.ceil(math.prod(shape) * bits / 8),
            scale=tuple(map(float, quantization.scale)) if quantized else (),
            zero_point=_numbers(quantization.zeroPoint) if quantized else (),
            is_constant=self.stored_bytes[raw.buffer] > 0,
        )

    def operators(self) -> tuple[Operator, ...]:
        operators = []
        layer_of: dict[int, str] = {}
        written = (number for raw in self.main.operators for number in _numbers(raw.outputs))
        scoped = any("." in layer_path(self.tensors[number].name) for number in written)
        counted: set[int] = set()
        for raw in self.main.operators:
            name = self.operator_name(raw)
            # An optional input that is left out has the number -1.
            inputs = tuple(number for number in _numbers(raw.inputs) if number >= 0)
            outputs = _numbers(raw.outputs)
            before = next((layer_of[number] for number in inputs if number in layer_of), "input")
            weights = inputs[1] if name in _BIAS_AT else None
            bias = inputs[_BIAS_AT[name]] if len(inputs) > _BIAS_AT.get(name, 99) else None
            own = layer_path(self.tensors[outputs[0]].name)
            path = own if "." in own or not scoped else ""  # Softmax_11 is no path
            layer_of |= dict.fromkeys(outputs, path or before)
            read = {self.main.tensors[number].buffer for number in inputs} - counted
            counted |= read
            operators.append(
                Operator(
                    name=name,
                    layer=path or f"{own or self.public_name(outputs[0])} (after {before})",
                    inputs=inputs,
                    outputs=outputs,
                    weights=weights,
                    bias=bias,
                    options=MappingProxyType(self.options(name, raw.builtinOptions, weights)),
                    weight_bytes=sum(self.stored_bytes[buffer] for buffer in read),
                    macs=self.macs(name, inputs, outputs),
                )
            )
        return tuple(operators)

    def operator_name(self, raw: Any) -> str:
        code = self.model.operatorCodes[raw.opcodeIndex]
        # Files from before the field was widened fill the deprecated one alone.
        name = self.operations[max(code.builtinCode, code.deprecatedBuiltinCode)]
        return code.customCode.decode() if name == "CUSTOM" else name

    def public_name(self, tensor: int) -> str:
        """The name that the model's author gave an output, else the tensor's own."""
        for signature in self.model.signatureDefs or ():
            for output in signature.outputs:
                if output.tensorIndex == tensor:
                    return output.name.decode()
        return self.tensors[tensor].name

    def options(self, name: str, raw: Any, weights: int | None) -> dict[str, Any]:
        given = {} if raw is None else vars(raw)
        options: dict[str, Any] = {}
        if "filterHeight" in given:
            options["kernel"] = (int(raw.filterHeight), int(raw.filterWidth))
        elif weights is not None and name != "FULLY_CONNECTED":
            options["kernel"] = self.tensors[weights].shape[1:3]
        if "strideH" in given:
            options["stride"] = (int(raw.strideH), int(raw.strideW))
        if "dilationHFactor" in given:
            options["dilation"] = (int(raw.dilationHFactor), int(raw.dilationWFactor))
        if "padding" in given:
            options["padding"] = self.paddings[raw.padding]
        if "fusedActivationFunction" in given:
            options["activation"] = self.activations[raw.fusedActivationFunction]
        return options

    def macs(self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> int:
        if name not in _BIAS_AT:
            return 0
        weights = self.tensors[inputs[1]].shape
        written = math.prod(self.tensors[outputs[0]].shape)
        if name == "DEPTHWISE_CONV_2D":  # an output pixel sees one channel
            return written * math.prod(weights[1:3])
        if name == "TRANSPOSE_CONV":  # an input pixel is spread over a kernel of every output
            return math.prod(self.tensors[inputs[2]].shape[:3]) * math.prod(weights)
        return written * math.prod(weights[1:])


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}


def _numbers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)
