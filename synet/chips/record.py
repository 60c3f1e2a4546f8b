"""A chip's yaml file, read once into a frozen record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from synet.errors import ChipError

SCHEMA = 1

Reader = Callable[[Any, str], Any]


@dataclass(frozen=True)
class OpRule:
    """The limits of one operation; None is no limit.

    `kernel_max` bounds height and width of a kernel. `strides`, `dilations` and
    `scales` (whole factors of a resize) list what is allowed in either direction.
    """

    kernel_max: int | None = None
    strides: tuple[int, ...] | None = None
    dilations: tuple[int, ...] | None = None
    scales: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Chip:
    """What a chip runs.

    `ops` maps the TFLite name of every operation that runs to its limits, and
    `dtypes` the roles activations, weights and biases to their data types.
    `padding` lists the paddings of convolutions and pools, `activation` names
    the one activation that can be fused or built. `alternatives` advises what
    to build in place of an operation that does not run.
    """

    name: str
    title: str
    image_channels: int
    activation: str
    padding: tuple[str, ...]
    weights_max_bytes: int
    activations_max_bytes: int
    dtypes: Mapping[str, tuple[str, ...]]
    ops: Mapping[str, OpRule]
    alternatives: Mapping[str, str]


def chips() -> tuple[str, ...]:
    """The names of all chips that SyNet knows."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yaml")))


@cache
def get_chip(name: str) -> Chip:
    """The chip of that name.

    Raises
    ------
    ChipError
        There is none; the message names those there are.
    """
    if name not in chips():
        raise ChipError(f"no chip is named {name!r}{_nearest(name, chips())}")
    return read_chip(Path(__file__).with_name(f"{name}.yaml"))


def read_chip(path: str | Path) -> Chip:
    """A chip from its yaml file; the file's stem is its name.

    Raises
    ------
    ChipError
        The file cannot be read, a key is missing or unknown, or a value is not
        of its kind; the message names file and key.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ChipError(f"cannot read {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ChipError(f"{path} is not yaml: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ChipError(f"{path} is not a chip: it holds no mapping of keys to values")
    if raw.get("schema") != SCHEMA:
        found = raw.get("schema", "missing")
        raise ChipError(f"{path}: schema is {found}; this version of SyNet reads schema {SCHEMA}")
    fields = _section(raw, _CHIP_KEYS, f"{path}: ", complete=True)
    del fields["schema"]
    return Chip(name=path.stem, **fields)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"; {hint}There are: {', '.join(known)}"


# Readers of a value take it and its place (file and key, to lead a message), and return it checked.


def _section(
    raw: Mapping[Any, Any], readers: Mapping[str, Reader], place: str, complete: bool
) -> dict[str, Any]:
    for key in raw:
        if key not in readers:
            raise ChipError(f"{place}{key} is not a known key{_nearest(str(key), readers)}")
    for key in readers:
        if complete and key not in raw:
            raise ChipError(f"{place}{key} is missing")
    return {key: readers[key](value, f"{place}{key}") for key, value in raw.items()}


def _count(value: Any, place: str) -> int:
    if type(value) is not int or value < 1:
        raise ChipError(f"{place} is {value!r}, not a whole number above 0")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise ChipError(f"{place} is {value!r}, not a text")
    return value


def _one_of(*words: str) -> Reader:
    def read(value: Any, place: str) -> str:
        if value not in words:
            raise ChipError(f"{place} is {value!r}, not one of {', '.join(words)}")
        return value

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
    return OpRule(**_section(value or {}, _OP_KEYS, f"{place}.", complete=False))


def _dtypes(value: Any, place: str) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ChipError(f"{place} is {value!r}, not a mapping")
    return MappingProxyType(_section(value, _DTYPE_KEYS, f"{place}.", complete=True))


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
_CHIP_KEYS: dict[str, Reader] = {
    "schema": _count,
    "title": _text,
    "image_channels": _count,
    "activation": _one_of("relu", "relu6"),
    "padding": _list_of(_one_of("SAME", "VALID")),
    "weights_max_bytes": _count,
    "activations_max_bytes": _count,
    "dtypes": _dtypes,
    "ops": _table_of(_op_rule),
    "alternatives": _table_of(_text),
}
