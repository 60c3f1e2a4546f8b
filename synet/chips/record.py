"""A chip's yaml file, read once into a frozen record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from synet.system.errors import ChipError

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
class Memory:
    """A memory as its NPU sees it.

    `bytes` is its size, None where nothing that is made for the chip fills it. `clock_scale` is
    its clock over the NPU's, the latencies are in cycles of the NPU, `burst_bytes` is what it
    gives at once, and `reads` and `writes` how many of those may be under way.
    """

    clock_scale: float
    burst_bytes: int
    read_latency: int
    reads: int
    write_latency: int = 0
    writes: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class Compiler:
    """The compiler that judges a file for a chip, and what it has to know of the chip.

    `versions` are those that may be asked, and `version` the one that is: the first, or what
    `Chip.asking` was given. `arena` names the memory of the activations, and `weights` those that
    may hold the weights, in the order in which they are tried. The ports are those of the NPU.
    """

    name: str
    accelerator: str
    clock_hz: int
    macs_per_cycle: int
    arena: str
    arena_port: str
    weights: tuple[str, ...]
    weights_port: str
    memories: Mapping[str, Memory]
    versions: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Chip:
    """What a chip runs.

    `ops` maps the TFLite name of every operation that a model may be built of to its limits,
    and `dtypes` the roles activations, weights and biases to their data types.
    `padding` lists the paddings of convolutions and pools, `activation` names
    the one activation that can be fused or built. `alternatives` advises what
    to build in place of an operation that does not run.

    A chip has a `compiler` that judges a finished file, or else its `ops` and the two limits, in
    bytes, do. A compiler finds a place for the weights itself: there is no one limit.
    """

    name: str
    title: str
    image_channels: int
    activation: str
    padding: tuple[str, ...]
    dtypes: Mapping[str, tuple[str, ...]]
    ops: Mapping[str, OpRule]
    alternatives: Mapping[str, str]
    activations_max_bytes: int
    weights_max_bytes: int | None = None
    compiler: Compiler | None = None

    def asking(self, compiler: str) -> Chip:
        """This chip, judged by another version of its compiler.

        Parameters
        ----------
        compiler
            A version that the chip's file lists; or the path of a program, which knows its own.
            Empty: the one that is asked anyway.

        Raises
        ------
        ChipError
            The chip has no compiler, or not this one.
        """
        if not compiler:
            return self
        if self.compiler is None:
            raise ChipError(f"{self.name} has no public compiler; its file says what it runs")
        if compiler not in self.compiler.versions and not Path(compiler).is_file():
            raise ChipError(
                f"no {self.compiler.name} {compiler!r} is known for {self.name}; its file lists "
                f"{', '.join(self.compiler.versions)}; or give the path of a program"
            )
        return replace(self, compiler=replace(self.compiler, version=compiler))


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
    if "compiler" in raw and raw.keys() & _LIMITS.keys():
        limit = min(raw.keys() & _LIMITS.keys())
        raise ChipError(f"{path}: {limit} is for a chip without a compiler; take one of them out")
    judge = {"compiler": _compiler} if "compiler" in raw else _LIMITS
    fields = _section(raw, _CHIP_KEYS | judge, f"{path}: ")
    del fields["schema"]
    if "compiler" in fields:
        compiler = fields["compiler"]
        fields["activations_max_bytes"] = compiler.memories[compiler.arena].bytes
    return Chip(name=path.stem, **fields)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"; {hint}There are: {', '.join(known)}"


# Readers of a value take it and its place (file and key, to lead a message), and return it checked.


def _section(
    raw: Any, readers: Mapping[str, Reader], place: str, optional: Iterable[str] = ()
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ChipError(f"{place.removesuffix('.')} is {raw!r}, not a mapping")
    for key in raw:
        if key not in readers:
            raise ChipError(f"{place}{key} is not a known key{_nearest(str(key), readers)}")
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
    return OpRule(**_section(value or {}, _OP_KEYS, f"{place}.", optional=_OP_KEYS))


def _dtypes(value: Any, place: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType(_section(value, _DTYPE_KEYS, f"{place}."))


def _memory(value: Any, place: str) -> Memory:
    optional = ("bytes", "write_latency", "writes")
    return Memory(**_section(value, _MEMORY_KEYS, f"{place}.", optional))


def _compiler(value: Any, place: str) -> Compiler:
    fields = _section(value, _COMPILER_KEYS, f"{place}.")
    compiler = Compiler(**fields, version=fields["versions"][0])
    for key, names in (("arena", (compiler.arena,)), ("weights", compiler.weights)):
        for name in names:
            if name not in compiler.memories:
                raise ChipError(
                    f"{place}.{key}: no memory is named {name!r}{_nearest(name, compiler.memories)}"
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
    "activation": _one_of("relu", "relu6"),
    "padding": _list_of(_one_of("SAME", "VALID")),
    "dtypes": _dtypes,
    "ops": _table_of(_op_rule),
    "alternatives": _table_of(_text),
}
