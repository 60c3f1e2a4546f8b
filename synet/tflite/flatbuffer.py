"""The bytes of a TFLite file, and the proof that they are what they say.

A file comes from anybody. The runtime, Vela and the code that the schema is made into believe it:
an offset behind the end, the number of a tensor that is not there, or a shape of terabytes ends
the process, or the machine's memory. So every file is looked through first, in plain Python.
"""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from synet.system.errors import SynetError
from synet.system.files import regular_bytes

LARGEST = 512 * 2**20  # bytes of a file, and of a tensor: those of chips are a hundredth of it
PARTS = 10**6  # tables in a file, which the runtime counts as well
COMPILED = b"ethos-u"  # what Vela calls the operation that it puts in the place of others
SHARED = 8  # how often a file may refer to its own bytes, all in all

TEXT = "text"
# What lies in the tables of a file, by the number of the field: text, a table, [tables], or the
# size of the numbers in a vector. Plain numbers, and the options of an operation, are not listed.
FIELDS: dict[str, dict[int, Any]] = {
    "Model": {
        **{1: ["OperatorCode"], 2: ["SubGraph"], 3: TEXT, 4: ["Buffer"], 5: 4},
        **{6: ["Metadata"], 7: ["SignatureDef"]},
    },
    "OperatorCode": {1: TEXT},
    "SubGraph": {0: ["Tensor"], 1: 4, 2: 4, 3: ["Operator"], 4: TEXT},
    "Tensor": {0: 4, 3: TEXT, 4: "Quantization", 6: "Sparsity", 7: 4, 9: ["Variant"]},
    "Quantization": {0: 4, 1: 4, 2: 4, 3: 8, 5: "Options"},
    "Sparsity": {0: 4, 1: 4, 2: ["Dimension"]},
    "Dimension": {3: "Options", 5: "Options"},
    "Variant": {0: 4},
    "Operator": {1: 4, 2: 4, 4: "Options", 5: 1, 7: 1, 8: 4, 12: "Options"},
    "Buffer": {0: 1},
    "Metadata": {0: TEXT},
    "SignatureDef": {0: ["TensorMap"], 1: ["TensorMap"], 2: TEXT},
    "TensorMap": {0: TEXT},
    "Options": {},
}
_EXTERNAL = (8, 9)  # fields of a model that name other files

# The other types end in their number of bits.
_BITS = {"bool": 8, "float8_e4m3fn": 8, "float8_e5m2": 8, "string": 0, "resource": 0, "variant": 0}

_sound: set[bytes] = set()  # digests of what was looked through


class _Damaged(Exception):
    """What is wrong with a file."""


def read_content(source: str | Path | bytes) -> tuple[str, bytes]:
    """The name to call a TFLite model by in messages, and its bytes.

    Raises
    ------
    SynetError
        The file cannot be read, is not a TFLite file, is damaged, or has been compiled.
    """
    name, content = read_unchecked(source)
    digest = hashlib.sha256(content).digest()
    if digest not in _sound:
        try:
            _walk(content)
            if _is_compiled(content):
                raise SynetError(
                    f"{name} is what Vela has made of a model for an Ethos-U, which only that can "
                    "run; give the file that Vela was given"
                )
            _check_model(content)
        except _Damaged as error:
            raise SynetError(f"{name} is damaged, make it again ({error})") from None
        _sound.add(digest)
    return name, content


def read_unchecked(source: str | Path | bytes) -> tuple[str, bytes]:
    """As `read_content`, of a file that only begins as one; for who does nothing but pass it on."""
    if isinstance(source, bytes):
        name, content = "the TFLite model", source
    else:
        name, content = str(source), read_file(source)
    if content[4:8] != b"TFL3":
        raise SynetError(f"{name} is not a TFLite file; give one that `synet quantize` made")
    return name, content


def read_file(path: str | Path, largest: int = LARGEST) -> bytes:
    """The bytes of a model's file.

    Raises
    ------
    SynetError
        It cannot be read, is no ordinary file, or is larger than any model is.
    """
    try:
        return regular_bytes(path, largest)
    except OSError as error:
        raise SynetError(f"cannot read {path}: {error.strerror or error}") from None


def bits_of(dtype: str) -> int:
    """Bits of a number of a tensor's type, as the schema calls it in lower case."""
    return _BITS[dtype] if dtype in _BITS else int("".join(filter(str.isdigit, dtype)))


def names_of(enumeration: type) -> dict[int, str]:
    """The names in one of the schema's enumerations, by value."""
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}


def _walk(content: bytes) -> None:
    """See that every table, vector and text lies within the file, and none is told too often."""
    end, room, parts = len(content), SHARED * len(content), 0

    def read(form: str, at: int) -> int:
        if not 0 <= at <= end - struct.calcsize(form):
            raise _Damaged(f"it points to byte {at:,} of {end:,}")
        return struct.unpack_from(form, content, at)[0]

    def vector(at: int, size: int) -> int:
        """The number of items of a vector."""
        items = read("<I", at)
        if items * size > end - at - 4:
            raise _Damaged(f"a list of {items:,} items begins at byte {at:,} of {end:,}")
        return items

    waiting = [("Model", read("<I", 0))]
    while waiting:
        kind, table = waiting.pop()
        layout = table - read("<i", table)
        known, size = read("<H", layout), read("<H", layout + 2)
        read(f"{known}s", layout), read(f"{size}s", table)
        room -= known + size
        if kind == "Model" and any(
            known >= 6 + 2 * field and read("<H", layout + 4 + 2 * field) for field in _EXTERNAL
        ):
            raise _Damaged("it keeps weights in other files, which are not read")
        for field, of in FIELDS[kind].items():
            offset = read("<H", layout + 4 + 2 * field) if known >= 6 + 2 * field else 0
            if not offset:
                continue
            at = table + offset
            at += read("<I", at)
            if isinstance(of, list):
                items = vector(at, 4)
                parts += items
                if parts > PARTS:
                    raise _Damaged(f"it has more than {PARTS:,} parts")
                places = range(at + 4, at + 4 + 4 * items, 4)
                waiting += [(of[0], place + read("<I", place)) for place in places]
            elif of == TEXT:
                items = vector(at, 1)
                room -= items
                try:
                    content[at + 4 : at + 4 + items].decode()
                except UnicodeDecodeError:
                    raise _Damaged(f"a name at byte {at:,} is no text") from None
            elif isinstance(of, int):
                room -= of * vector(at, of)
            else:
                waiting.append((of, at))
        if room < 0:
            raise _Damaged("it refers to the same bytes again and again")


def _is_compiled(content: bytes) -> bool:
    """Whether Vela has made one operation of those that the NPU runs."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    codes = map(model.OperatorCodes, range(model.OperatorCodesLength()))
    return any(code.CustomCode() == COMPILED for code in codes)


def _check_model(content: bytes) -> None:
    """See that the numbers by which a file's parts name each other are there, and shapes sane."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    buffers = model.BuffersLength()
    if not model.SubgraphsLength():
        raise _Damaged("it holds no graph")
    stored = [_stored(model.Buffers(number), len(content)) for number in range(buffers)]
    types = {value: bits_of(name.lower()) for value, name in names_of(schema.TensorType).items()}
    codes = [model.OperatorCodes(at) for at in range(model.OperatorCodesLength())]
    known = names_of(schema.BuiltinOperator)
    for code in codes:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number not in known:
            raise _Damaged(f"nobody knows operation {number}")
        if known[number] == "CUSTOM" and not code.CustomCode():
            raise _Damaged("an operation of somebody's own has no name")
    tensors = []
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        tensors.append(graph.TensorsLength())
        for at in range(graph.TensorsLength()):
            _check_tensor(graph.Tensors(at), at, stored, types)
        _check_graph(graph, len(codes), stored)
    for at in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(at)
        graph = signature.SubgraphIndex()
        ends = [signature.Inputs(n) for n in range(signature.InputsLength())]
        ends += [signature.Outputs(n) for n in range(signature.OutputsLength())]
        if graph >= len(tensors) or any(end.TensorIndex() >= tensors[graph] for end in ends):
            raise _Damaged("its signature names a tensor that is not there")
        if not all(end.Name() for end in ends):
            raise _Damaged("its signature has an end without a name")


def _stored(buffer: Any, end: int) -> int:
    """Bytes of a buffer, in the file's tables or behind them."""
    if buffer.Offset() + buffer.Size() > end:
        raise _Damaged("a constant lies behind its end")
    return max(buffer.DataLength(), buffer.Size() if buffer.Offset() > 1 else 0)


def _check_tensor(tensor: Any, at: int, stored: list[int], types: dict[int, int]) -> None:
    if tensor.Type() not in types:
        raise _Damaged(f"tensor {at} is of an unknown type")
    if tensor.Buffer() >= len(stored):
        raise _Damaged(f"tensor {at} lies in buffer {tensor.Buffer()}, which is not there")
    shape = [int(side) for side in _numbers(tensor.ShapeAsNumpy())]
    if any(side < 0 for side in shape) or len(shape) > 8:
        raise _Damaged(f"tensor {at} has the shape {_short(shape)}")
    bits, constant = types[tensor.Type()], stored[tensor.Buffer()]
    size = math.prod(shape) * bits / 8
    if size > LARGEST:
        raise _Damaged(f"tensor {at} of {_short(shape)} takes {size / 2**20:,.0f} MiB")
    quantization = tensor.Quantization()
    if quantization is not None:
        _check_scales(quantization, at, shape, bits, not constant)


def _check_scales(steps: Any, at: int, shape: list[int], bits: int, activation: bool) -> None:
    scales, zeros = _numbers(steps.ScaleAsNumpy()), _numbers(steps.ZeroPointAsNumpy())
    axis = steps.QuantizedDimension()
    along = shape[axis] if 0 <= axis < len(shape) else 1
    if len(scales) not in (0, 1, along) or len(zeros) not in (0, 1, len(scales)):
        raise _Damaged(f"tensor {at} has {len(scales)} scales and {len(zeros)} zero points")
    if len(scales) and (not np.isfinite(scales).all() or min(scales) < 0):
        raise _Damaged(f"tensor {at} has a scale of {min(scales):g}")
    if len(scales) and activation and not all(scales):
        raise _Damaged(f"tensor {at} has a scale of 0")
    if len(zeros) and max(map(abs, map(int, zeros))) >> min(bits, 32):
        raise _Damaged(f"tensor {at} has a zero point of {max(zeros, key=abs)}")


def _check_graph(graph: Any, codes: int, stored: list[int]) -> None:
    """See that operations name tensors that are there, and read none that is yet to be written."""
    tensors = graph.TensorsLength()

    def numbers(values: Any, what: str, lowest: int = 0) -> list[int]:
        found = [int(value) for value in _numbers(values)]
        if any(not lowest <= number < tensors for number in found):
            raise _Damaged(f"{what} names a tensor that is not there")
        return found

    written = set(numbers(graph.InputsAsNumpy(), "its input"))
    outputs = numbers(graph.OutputsAsNumpy(), "its output")
    for at in range(tensors):
        tensor = graph.Tensors(at)
        empty = 0 in _numbers(tensor.ShapeAsNumpy())  # such as the shape of a single number
        if stored[tensor.Buffer()] or tensor.IsVariable() or empty:
            written.add(at)
    for at in range(graph.OperatorsLength()):
        operator = graph.Operators(at)
        if operator.OpcodeIndex() >= codes:
            raise _Damaged(f"operation {at} is of a kind that is not there")
        reads = numbers(operator.InputsAsNumpy(), f"operation {at}", lowest=-1)
        numbers(operator.IntermediatesAsNumpy(), f"operation {at}", lowest=-1)
        if not {*reads} - {-1} <= written:
            raise _Damaged(f"operation {at} reads what no operation before it writes")
        makes = numbers(operator.OutputsAsNumpy(), f"operation {at}")
        if any(stored[graph.Tensors(number).Buffer()] for number in makes):
            raise _Damaged(f"operation {at} writes over a constant")
        written |= {*makes}
    if not {*outputs} <= written:
        raise _Damaged("an output is written by no operation")


def _numbers(values: Any) -> np.ndarray:
    """A vector of the schema's, which is the number 0 where it is left out."""
    return values if isinstance(values, np.ndarray) else np.empty(0)


def _short(shape: list[int]) -> str:
    return "x".join(map(str, shape[:8])) + ("x..." if len(shape) > 8 else "")
