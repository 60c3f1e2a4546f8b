"""A chip's yaml file, read into a record, or refused by file and key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from synet.chips.record import ACTIVATIONS, Chip, Compiler, Memory, OpRule, Spelling
from synet.system.errors import ChipError
from synet.system.yaml_files import read_yaml

SCHEMA = 1
# The TFLite operations that a compiler may make a table of.
TABLES = ("GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "TANH", "EXP", "ELU")

Reader = Callable[[Any, str], Any]


def read_chip(path: str | Path) -> Chip:
    """A chip from its yaml file; the file's stem is its name.

    Raises
    ------
    ChipError
        The file cannot be read, a key is missing or unknown, or a value is not
        of its kind; the message names file and key.
    """
    path = Path(path)
    raw = read_yaml(path, ChipError)
    if not isinstance(raw, dict):
        raise ChipError(f"{path} is not a chip: it holds no mapping of keys to values")
    if raw.get("schema") != SCHEMA:
        found = raw.get("schema", "missing")
        raise ChipError(f"{path}: schema is {found}; this version of SyNet reads schema {SCHEMA}")
    if "compiler" in raw and raw.keys() & _LIMITS.keys():
        limit = min(raw.keys() & _LIMITS.keys())
        raise ChipError(f"{path}: {limit} is for a chip without a compiler; take one of them out")
    judge = {"compiler": _compiler} if "compiler" in raw else _LIMITS
    fields = _section(raw, _CHIP_KEYS | judge, f"{path}: ", optional=("is_default",))
    del fields["schema"]
    if "compiler" in fields:
        compiler = fields["compiler"]
        fields["activations_max_bytes"] = compiler.memories[compiler.arena].bytes
    return Chip(name=path.stem, file=path, **fields)


def nearest(word: str, known: Iterable[str]) -> str:
    """Which of the known ones a word may be a slip of, and all there are."""
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"; {hint}{'There' if hint else 'there'} are: {', '.join(known)}"


# Readers of a value take it and its place (file and key, to lead a message), and return it checked.


def _section(
    raw: Any, readers: Mapping[str, Reader], place: str, optional: Iterable[str] = ()
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ChipError(f"{place.removesuffix('.')} is {raw!r}, not a mapping")
    for key in raw:
        if key not in readers:
            raise ChipError(f"{place}{key} is not a known key{nearest(str(key), readers)}")
    for key in readers:
        if key not in raw and key not in optional:
            raise ChipError(f"{place}{key} is missing")
    return {key: readers[key](value, f"{place}{key}") for key, value in raw.items()}


def _count(value: Any, place: str) -> int:
    if type(value) is not int or value < 1:
        raise ChipError(f"{place} is {value!r}, not a whole number above 0")
    return value


def _number(value: Any, place: str) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ChipError(f"{place} is {value!r}, not a number above 0")
    return float(value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise ChipError(f"{place} is {value!r}, not a text")
    return value


def _truth(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise ChipError(f"{place} is {value!r}, not true or false")
    return value


def _one_of(*words: str) -> Reader:
    def read(value: Any, place: str) -> str:
        for word in words:
            if value == word:
                return word
        raise ChipError(f"{place} is {value!r}, not one of {', '.join(words)}")

    return read


def _list_of(reader: Reader) -> Reader:
    def read(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ChipError(f"{place} is {value!r}, not a list in square brackets")
        return tuple(reader(item, f"{place}[{at}]") for at, item in enumerate(value))

    return read


def _table_of(reader: Reader) -> Reader:
    def read(value: Any, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise ChipError(f"{place} is {value!r}, not a mapping")
        return MappingProxyType(
            {_text(k, place): reader(v, f"{place}.{k}") for k, v in value.items()}
        )

    return read


def _op_rule(value: Any, place: str) -> OpRule:
    if value is not None and not isinstance(value, dict):
        raise ChipError(f"{place} is {value!r}, neither empty nor a mapping of limits")
    return OpRule(**_section(value or {}, _OP_KEYS, f"{place}.", optional=_OP_KEYS))


def _dtypes(value: Any, place: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType(_section(value, _DTYPE_KEYS, f"{place}."))


def _spelling(value: Any, place: str) -> Spelling:
    return Spelling(**_section(value, _SPELLING_KEYS, f"{place}."))


def _memory(value: Any, place: str) -> Memory:
    optional = ("bytes", "write_latency", "writes")
    return Memory(**_section(value, _MEMORY_KEYS, f"{place}.", optional))


def _compiler(value: Any, place: str) -> Compiler:
    fields = _section(value, _COMPILER_KEYS, f"{place}.", optional=("tables",))
    compiler = Compiler(**fields, version=fields["versions"][0])
    for version in compiler.tables:
        if version not in compiler.versions:
            raise ChipError(
                f"{place}.tables.{version} is none of the versions {', '.join(compiler.versions)}"
            )
    for key, names in (("arena", (compiler.arena,)), ("weights", compiler.weights)):
        for name in names:
            if name not in compiler.memories:
                raise ChipError(
                    f"{place}.{key}: no memory is named {name!r}{nearest(name, compiler.memories)}"
                )
    if compiler.memories[compiler.arena].bytes is None:
        raise ChipError(f"{place}.memories.{compiler.arena}.bytes is missing")
    return compiler


_DTYPE_KEYS: dict[str, Reader] = dict.fromkeys(
    ("activations", "weights", "biases"),
    _list_of(_one_of("int4", "int8", "uint8", "int16", "int32", "int64", "float16", "float32")),
)
_OP_KEYS: dict[str, Reader] = {
    "kernel_max": _count,
    "strides": _list_of(_count),
    "dilations": _list_of(_count),
    "scales": _list_of(_count),
}
_SPELLING_KEYS: dict[str, Reader] = dict.fromkeys(
    ("kernel", "stride", "parts", "softmax_rows"), _count
)
_MEMORY_KEYS: dict[str, Reader] = {
    "bytes": _count,
    "clock_scale": _number,
    "burst_bytes": _count,
    "read_latency": _count,
    "write_latency": _count,
    "reads": _count,
    "writes": _count,
}
_COMPILER_KEYS: dict[str, Reader] = {
    "name": _one_of("vela"),
    "versions": _list_of(_text),
    "tables": _table_of(_list_of(_one_of(*TABLES))),
    "accelerator": _text,
    "clock_hz": _count,
    "macs_per_cycle": _count,
    "arena": _text,
    "arena_port": _one_of("Axi0", "Axi1"),
    "weights": _list_of(_text),
    "weights_port": _one_of("Axi0", "Axi1"),
    "memories": _table_of(_memory),
}
_LIMITS: dict[str, Reader] = {"weights_max_bytes": _count, "activations_max_bytes": _count}
_CHIP_KEYS: dict[str, Reader] = {
    "schema": _count,
    "title": _text,
    "image_channels": _count,
    "activation": _one_of(*ACTIVATIONS),
    "padding": _list_of(_one_of("SAME", "VALID")),
    "dtypes": _dtypes,
    "ops": _table_of(_op_rule),
    "alternatives": _table_of(_text),
    "spelling": _spelling,
    "is_default": _truth,
}
