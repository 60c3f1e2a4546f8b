"""Layers of ONNX files: a row a node that is more than a constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from synet.inspection.readers.formats import Kernel, Layer, ModelSource, matrix, refuse_other_shape
from synet.system import confined
from synet.system.errors import SynetError
from synet.system.optional_packages import load
from synet.tflite.flatbuffer import LARGEST, read_file

WEIGHT = ".weight"  # behind a module's path
DEQUANTIZE = "DequantizeLinear"
# Where the weights stand among the inputs of a node, and their zero point where the node has it.
_WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "QLinearConv": 3}
_ZERO_POINT = {"QLinearConv": 5, DEQUANTIZE: 2}

SECONDS = 10  # to infer shapes, in a process of its own, which some damage ends
_INFER = """
import onnx
try:
    model = onnx.shape_inference.infer_shapes(sys.stdin.buffer.read(), data_prop=True)
except Exception as error:  # of what a node says, and its operation cannot be
    sys.stdout.write('!' + str(error))
else:
    sys.stdout.buffer.write(b'=' + model.SerializeToString())
"""


@dataclass(frozen=True)
class _File:
    """A graph; `arrays` are its constants, `zeros` the zero points of those that are quantized."""

    nodes: tuple[Any, ...]
    shapes: Mapping[str, tuple[int | None, ...]]
    arrays: Mapping[str, np.ndarray]
    zeros: Mapping[str, int] = field(default_factory=dict)


def layers(source: ModelSource) -> list[Layer]:
    """The nodes that compute something of the image.

    Raises
    ------
    SynetError
        No ONNX file, or one whose image has no fixed shape, and none is given.
    """
    file, seen = _read(source, images=True), set()
    found = []
    for node in file.nodes:
        own = {name for name in node.input if _is_parameter(file, name)} - seen
        seen |= own
        found.append(
            Layer(
                name=_path(node),
                kind=node.op_type,
                shape=file.shapes.get(node.output[0], ()),
                parameters=sum(file.arrays[name].size for name in own),
                macs=_macs(node, file),
            )
        )
    return found


def kernels(source: ModelSource) -> Iterator[Kernel]:
    """The weights of convolutions and products with constants.

    Raises
    ------
    SynetError
        No ONNX file.
    """
    file, seen = _read(source, images=False), set()
    for node in file.nodes:
        name = _weights(node)
        if name not in file.arrays or name in seen:
            continue
        seen.add(name)
        weights = file.arrays[name]
        if weights.ndim < 2 or not weights.size:
            continue
        at = _ZERO_POINT.get(node.op_type)
        zero = file.zeros.get(name, 0)
        if at is not None and at < len(node.input):
            zero = _zero(file.arrays.get(node.input[at]))
        yield Kernel(
            layer=_path(node),
            kind=node.op_type,
            shape=weights.shape,
            weights=matrix(weights, _channel_axis(node, weights)),
            zero=zero,
        )


def _read(source: ModelSource, images: bool) -> _File:
    path = str(source.model)
    onnx = load("onnx", "onnx", "reading an ONNX file")
    content = read_file(path)
    if not content:
        raise SynetError(f"{path} is empty, and no ONNX file")
    try:
        model = onnx.load_model_from_string(content)
        arrays, zeros = _constants(onnx, path, model.graph)
    except SynetError:
        raise
    except Exception as error:  # protobuf's, numpy's for what is no array, a node's that is bare
        raise _damaged(path, error) from None
    nodes = model.graph.node
    if not nodes:
        raise SynetError(f"{path} is no ONNX file, or holds no operations")
    shapes = _shapes(onnx, model, source) if images else {}
    moving = tuple(node for node in nodes if node.output and node.output[0] not in arrays)
    return _File(moving, shapes, arrays, zeros)


def _constants(
    onnx: ModuleType, path: str, graph: Any
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The arrays of a graph, by name, and the zero points of those that are quantized."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensors.append((node.output[0], node.attribute[0].t))
    beside = _Beside(Path(path))
    arrays, zeros = {}, {}
    for name, tensor in tensors:
        if onnx.external_data_helper.uses_external_data(tensor):
            told = {entry.key: entry.value for entry in tensor.external_data}
            tensor.raw_data = beside.read(**told)
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
        arrays[name] = onnx.numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == DEQUANTIZE and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
            at = _ZERO_POINT[DEQUANTIZE]
            zeros[node.output[0]] = _zero(
                arrays.get(node.input[at]) if at < len(node.input) else None
            )
    return arrays, zeros


class _Beside:
    """The files in a model's folder, in which it may keep its weights; no others are opened."""

    def __init__(self, model: Path) -> None:
        self._model, self._folder = model, model.parent.resolve()
        self._read: dict[str, bytes] = {}

    def read(self, location: str = "", offset: str = "0", length: str = "", **_: str) -> bytes:
        """Some bytes of a file, as a tensor says where they lie."""
        if location not in self._read:
            inside = "\0" not in location and location
            if not inside or not (self._folder / location).resolve().is_relative_to(self._folder):
                raise SynetError(
                    f"{self._model} keeps weights in {location!r}, outside of its folder, which is "
                    "not read; put both into one folder"
                )
            room = LARGEST - sum(map(len, self._read.values()))
            try:
                self._read[location] = read_file(self._folder / location, room)
            except SynetError as error:
                raise SynetError(f"{self._model}: {error}") from None
        data, start = self._read[location], int(offset or 0)
        found = data[start : start + int(length or len(data))] if start >= 0 else b""
        if not found:
            raise SynetError(f"{self._model}: {location} has no weights at byte {start:,}")
        return found


def _damaged(path: str, error: Exception) -> SynetError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return SynetError(f"{path} is damaged, or no ONNX file: {reason[:200]}")


def _zero(points: np.ndarray | None) -> int:
    return 0 if points is None or not points.size else int(points.flat[0])


def _shapes(onnx: ModuleType, model: Any, source: ModelSource) -> dict[str, tuple[int | None, ...]]:
    """Shapes of all tensors for one image, of the size that the file or the user says."""
    constants = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in constants]
    if len(images) != 1:
        raise SynetError(
            f"{source.model} takes {len(images)} inputs; only models of one can be read"
        )
    image = images[0]
    sides = image.type.tensor_type.shape.dim
    if len(sides) == 4:
        refuse_other_shape(source, tuple(_side(side) for side in sides[2:]))
        asked = (1, None, *(source.image_shape or (None, None)))
        for side, number in zip(sides, asked, strict=True):
            if number and not side.dim_value:
                side.dim_value = number
    if not all(side.dim_value for side in sides):
        raise SynetError(
            f"{source.model}: says nothing of its image shape; give --image-shape HEIGHT WIDTH"
        )
    for value in model.graph.output:  # what they were for another image
        value.type.tensor_type.ClearField("shape")
    name = str(source.model)
    try:
        told = confined.run(_INFER, SECONDS, model.SerializeToString())
        if told[:1] != b"=":
            raise ValueError(told[1:].decode(errors="replace"))
        inferred = onnx.load_model_from_string(told[1:]).graph
    except confined.Ended as error:
        raise SynetError(f"{name} is damaged: ONNX does not survive it ({error})") from None
    except Exception as error:  # also of what is too large to be told
        raise _damaged(name, error) from None
    return {
        value.name: tuple(_side(side) for side in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def _side(side: Any) -> int | None:
    return side.dim_value or None


def _is_parameter(file: _File, name: str) -> bool:
    """Is a constant one of the network's numbers, and not a shape or an axis?"""
    if name not in file.arrays:
        return False
    array = file.arrays[name]
    return name in file.zeros or array.dtype.kind == "f" or array.dtype in (np.int8, np.uint8)


def _path(node: Any) -> str:
    """The module path of a node that torch exported, by its weights or its own name; else the name.

    ``/model.22/cv2.0/cv2.0.0/conv/Conv`` is ``model.22.cv2.0.0.conv``.
    """
    if _weights(node).endswith(WEIGHT):
        return _weights(node).removesuffix(WEIGHT)
    name = node.name or node.output[0]
    if not name.startswith("/"):
        return name
    scopes: list[str] = []
    for scope in name.strip("/").split("/")[:-1]:
        if scopes and scope.startswith(f"{scopes[-1]}."):  # torch repeats what it lies in
            scopes[-1] = scope
        else:
            scopes.append(scope)
    return ".".join(scopes) or name


def _weights(node: Any) -> str:
    at = _WEIGHTS.get(node.op_type, len(node.input))
    return node.input[at] if at < len(node.input) else ""


def _channel_axis(node: Any, weights: np.ndarray) -> int:
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return {"ConvTranspose": 1, "MatMul": weights.ndim - 1}.get(node.op_type, 0)


def _macs(node: Any, file: _File) -> int | None:
    name = _weights(node)
    if not name:
        return 0
    weights = file.arrays[name].shape if name in file.arrays else file.shapes.get(name, ())
    before = file.shapes.get(node.input[0], ())
    after = file.shapes.get(node.output[0], ())
    if not weights or not after or not before or None in (*weights, *before, *after):
        return None
    if node.op_type == "ConvTranspose":  # an input pixel is spread over a kernel of every output
        return prod(before) * prod(weights[1:])
    if node.op_type in ("Gemm", "MatMul") and len(weights) > 1 and after[-1]:
        inner = weights[-2] if node.op_type == "MatMul" else prod(weights) // after[-1]
        return prod(after) * inner
    return prod(after) * prod(weights[1:])
