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

import numpy as np

from synet.system.errors import SynetError
from synet.tflite.flatbuffer import bits_of, names_of, read_content

INPUT = "input"  # the layer that the image counts as
STATE = "variables"  # and what no operation writes: a state from one image to the next

# The operations with weights, and where a bias stands among their inputs; the weights stand second.
_BIAS_AT = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}

# The operations that move a window over an image, and what the schema calls their options.
_WINDOWS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"), "Pool2DOptions"),
}


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
    """Bytes in memory that one layer wrote, or `INPUT` and `STATE`, which are none."""

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
        reads it; the model's inputs from the start, its outputs to the end, and variables always.
        """
        end = len(self.operators) - 1
        first = {tensor: 0 for tensor in self.inputs}
        last = dict(first)
        written = {*self.inputs}
        for step, operator in enumerate(self.operators):
            for tensor in operator.inputs:
                first.setdefault(tensor, 0)
                last[tensor] = step
            written |= {*operator.outputs}
            for tensor in operator.outputs:
                first[tensor] = last[tensor] = step
        last |= {tensor: end for tensor in (*self.outputs, *(first.keys() - written))}

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
        """The layer that writes each activation; `STATE` for those that none does."""
        read = (tensor for op in self.operators for tensor in self.activations(op.inputs))
        written = {tensor: op.layer for op in self.operators for tensor in op.outputs}
        return dict.fromkeys(read, STATE) | dict.fromkeys(self.inputs, INPUT) | written

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
        # what an operation lacks that its kind has, which may end in a dozen exceptions
        raise SynetError(f"{name} is damaged, make it again ({error})") from None
    if not graph.operators or not graph.inputs:
        raise SynetError(f"{name} holds no operations, or takes no input")
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
    """The schema's tables, and how each of them becomes one of ours."""

    def __init__(self, schema: Any, content: bytes):
        self.schema = schema
        self.model = schema.Model.GetRootAs(content)
        self.main = self.model.Subgraphs(0)
        self.operations = names_of(schema.BuiltinOperator)
        self.types = names_of(schema.TensorType)
        self.paddings = names_of(schema.Padding)
        self.activations = names_of(schema.ActivationFunctionType)
        self.option_types = {number: name for name, number in vars(schema.BuiltinOptions).items()}
        self.stored_bytes = [
            self.model.Buffers(at).DataLength() for at in range(self.model.BuffersLength())
        ]
        self.buffers = [self.main.Tensors(at).Buffer() for at in range(self.main.TensorsLength())]
        self.tensors = tuple(self.tensor(self.main.Tensors(at)) for at in range(len(self.buffers)))

    def graph(self) -> Graph:
        inputs, outputs = self.main.InputsAsNumpy(), self.main.OutputsAsNumpy()
        return Graph(self.tensors, self.operators(), _numbers(inputs), _numbers(outputs))

    def tensor(self, raw: Any) -> Tensor:
        dtype = self.types[raw.Type()].lower()
        shape = _numbers(raw.ShapeAsNumpy())
        steps = raw.Quantization()
        quantized = steps is not None and not steps.ScaleIsNone()
        return Tensor(
            name=(raw.Name() or b"").decode(),
            shape=shape,
            dtype=dtype,
            bytes=math.ceil(math.prod(shape) * bits_of(dtype) / 8),
            scale=tuple(map(float, steps.ScaleAsNumpy())) if quantized else (),
            zero_point=_numbers(steps.ZeroPointAsNumpy()) if quantized else (),
            is_constant=self.stored_bytes[raw.Buffer()] > 0,
        )

    def operators(self) -> tuple[Operator, ...]:
        raws = [self.main.Operators(at) for at in range(self.main.OperatorsLength())]
        operators = []
        layer_of: dict[int, str] = {}
        written = (number for raw in raws for number in _numbers(raw.OutputsAsNumpy()))
        scoped = any("." in layer_path(self.tensors[number].name) for number in written)
        counted: set[int] = set()
        for raw in raws:
            name = self.operator_name(raw)
            # An optional input that is left out has the number -1.
            inputs = tuple(number for number in _numbers(raw.InputsAsNumpy()) if number >= 0)
            outputs = _numbers(raw.OutputsAsNumpy())
            before = next((layer_of[number] for number in inputs if number in layer_of), "input")
            weights = inputs[1] if name in _BIAS_AT else None
            bias = inputs[_BIAS_AT[name]] if len(inputs) > _BIAS_AT.get(name, 99) else None
            own = layer_path(self.tensors[outputs[0]].name)
            path = own if "." in own or not scoped else ""  # Softmax_11 is no path
            layer_of |= dict.fromkeys(outputs, path or before)
            options = self.options(name, raw, weights)
            if name in _WINDOWS:
                self.check_window(name, raw, outputs[0], options)
            read = {self.buffers[number] for number in inputs} - counted
            counted |= read
            operators.append(
                Operator(
                    name=name,
                    layer=path or f"{own or self.public_name(outputs[0])} (after {before})",
                    inputs=inputs,
                    outputs=outputs,
                    weights=weights,
                    bias=bias,
                    options=MappingProxyType(options),
                    weight_bytes=sum(self.stored_bytes[buffer] for buffer in read),
                    macs=self.macs(name, inputs, outputs),
                )
            )
        return tuple(operators)

    def operator_name(self, raw: Any) -> str:
        code = self.model.OperatorCodes(raw.OpcodeIndex())
        # Files from before the field was widened fill the deprecated one alone.
        name = self.operations[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        return code.CustomCode().decode() if name == "CUSTOM" else name

    def public_name(self, tensor: int) -> str:
        """The name that the model's author gave an output, else the tensor's own."""
        for at in range(self.model.SignatureDefsLength()):
            signature = self.model.SignatureDefs(at)
            for output in map(signature.Outputs, range(signature.OutputsLength())):
                if output.TensorIndex() == tensor:
                    return output.Name().decode()
        return self.tensors[tensor].name

    def options(self, name: str, operator: Any, weights: int | None) -> dict[str, Any]:
        table = operator.BuiltinOptions()
        raw: Any = None
        if table is not None:
            raw = getattr(self.schema, self.option_types[operator.BuiltinOptionsType()])()
            raw.Init(table.Bytes, table.Pos)
        options: dict[str, Any] = {}
        if hasattr(raw, "FilterHeight"):
            options["kernel"] = (raw.FilterHeight(), raw.FilterWidth())
        elif weights is not None and name != "FULLY_CONNECTED":
            options["kernel"] = self.tensors[weights].shape[1:3]
        if hasattr(raw, "StrideH"):
            options["stride"] = (raw.StrideH(), raw.StrideW())
        if hasattr(raw, "DilationHFactor"):
            options["dilation"] = (raw.DilationHFactor(), raw.DilationWFactor())
        if hasattr(raw, "Padding"):
            options["padding"] = self.paddings[raw.Padding()]
        if hasattr(raw, "FusedActivationFunction"):
            options["activation"] = self.activations[raw.FusedActivationFunction()]
        return options

    def check_window(self, name: str, raw: Any, output: int, options: Mapping[str, Any]) -> None:
        """See that what moves a window has one, and images to move it over."""
        windows = [options.get(key, ()) for key in ("kernel", "stride")]
        sides = [side for pair in (*windows, options.get("dilation", ())) for side in pair]
        of_its_kind = self.option_types[raw.BuiltinOptionsType()] == _WINDOWS[name]
        if not of_its_kind or {*map(len, windows)} != {2} or min(sides) < 1:
            raise ValueError(f"a {name} without a window")
        if len(self.tensors[output].shape) != 4:
            raise ValueError(f"a {name} that makes no image")

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


def _numbers(values: Any) -> tuple[int, ...]:
    """A vector of the schema's, which is the number 0 where it is left out."""
    return tuple(map(int, values)) if isinstance(values, np.ndarray) else ()
