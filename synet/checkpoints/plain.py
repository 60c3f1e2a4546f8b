"""Plain data that a checkpoint may ask for by name, made of checked parts."""

from __future__ import annotations

import argparse
import collections
import datetime
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.torch_version import TorchVersion

from synet.checkpoints.arrays import Arrays
from synet.checkpoints.machine import ForbiddenError, check_key
from synet.checkpoints.tensors import Tensors

_LISTS = (list, tuple, set, frozenset)
_SIZES = (int, type(None))


def functions(arrays: Arrays, tensors: Tensors) -> dict[str, Callable]:
    """What may be called, under each name that some version pickled it by."""
    found = dict(_FUNCTIONS)
    for core in ("numpy.core", "numpy._core"):
        found |= {
            f"{core}.multiarray.scalar": arrays.scalar,
            f"{core}.multiarray._reconstruct": arrays.unfilled,
            f"{core}.numeric._frombuffer": arrays.from_buffer,
        }
    found["numpy.dtype"] = arrays.dtype
    for name, make in {
        "parameter": tensors.parameter,
        "parameter_with_state": tensors.parameter,
        "tensor": tensors.first,
        "tensor_v2": tensors.second,
        "tensor_v3": tensors.third,
    }.items():
        found[f"torch._utils._rebuild_{name}"] = make
    return found


def _wrong(kind: str) -> ForbiddenError:
    return ForbiddenError(f"makes a {kind} as nobody does")


def _latin_1(text: str, encoding: str) -> bytes:
    """``codecs.encode``, for the one use that pickles make of it: bytes, in old protocols."""
    if type(text) is not str or encoding != "latin1":
        raise ForbiddenError("has bytes spelled in another way than latin1")
    return text.encode("latin-1")


def _octets(cls: type) -> Callable:
    """``bytes`` and ``bytearray``: not of a number, which is so many zeros."""

    def make(data: Any = b"", encoding: Any = "latin-1") -> Any:
        if type(data) is str and encoding == "latin-1":
            data = data.encode("latin-1")
        if type(data) not in (bytes, bytearray):
            raise _wrong(cls.__name__)
        return cls(data)

    return make


def _sequence(cls: type, check: Callable[[Any], Any]) -> Callable:
    """A container of what another one holds: not of a range, which could be of any length."""

    def make(items: Any = ()) -> Any:
        if type(items) not in _LISTS:
            raise _wrong(cls.__name__)
        for item in items:
            check(item)
        return cls(items)

    return make


def _check_size(item: Any) -> None:
    if type(item) is not int:
        raise _wrong("Size")


def _counter(counts: Any = None) -> collections.Counter:
    if counts is None:
        return collections.Counter()
    if type(counts) is not dict:
        raise _wrong("Counter")
    return collections.Counter(counts)


def _ordered(pairs: Any = ()) -> collections.OrderedDict:
    """``OrderedDict``, which Python 2 made of a list of pairs."""
    if not pairs:
        return collections.OrderedDict()
    if type(pairs) is not list or not all(type(x) in _LISTS and len(x) == 2 for x in pairs):
        raise _wrong("OrderedDict")
    for key, _ in pairs:
        check_key(key)
    return collections.OrderedDict(pairs)


def _of(cls: type, *kinds: tuple[type, ...], least: int = 0) -> Callable:
    """`cls`, of arguments that are of these kinds each."""

    def make(*arguments: Any) -> Any:
        if not least <= len(arguments) <= len(kinds):
            raise _wrong(cls.__name__)
        if any(type(x) not in kind for x, kind in zip(arguments, kinds, strict=False)):
            raise _wrong(cls.__name__)
        return cls(*arguments)

    return make


def _path(cls: type) -> Callable:
    def make(*parts: Any) -> Any:
        if any(type(part) is not str for part in parts):
            raise _wrong("path")
        return cls(*parts)

    return make


def _moment(cls: type, size: int) -> Callable:
    """A date or time, of the bytes that Python packs it in; Python's own hardly looks at them."""

    def make(packed: Any, zone: Any = None) -> Any:
        if isinstance(packed, str):  # as Python 2 wrote bytes
            packed = packed.encode("latin-1")
        if type(packed) is not bytes or len(packed) != size:
            raise _wrong(cls.__name__)
        if zone is not None and type(zone) is not datetime.timezone:
            raise _wrong(cls.__name__)
        numbers, options = [], {}
        if cls is not datetime.time:
            numbers = [int.from_bytes(packed[:2], "big"), packed[2] & 0x7F, packed[3]]
        if cls is not datetime.date:
            hour, minute, second = packed[-6:-3]
            numbers += [hour & 0x7F if cls is datetime.time else hour, minute, second]
            numbers.append(int.from_bytes(packed[-3:], "big"))
            folded = packed[0 if cls is datetime.time else 2] & 0x80
            options = {"tzinfo": zone, "fold": 1 if folded else 0}
        return cls(*numbers, **options)

    return make


def _layout(name: Any) -> torch.layout:
    if name != "torch.strided":
        raise ForbiddenError(f"has a layout {ascii(name)[:40]}")
    return torch.strided


def _table() -> dict[str, Callable]:
    posix = os.name == "posix"
    paths = {  # a checkpoint from the other kind of system keeps its paths, pure
        "PosixPath": pathlib.PosixPath if posix else pathlib.PurePosixPath,
        "WindowsPath": pathlib.PureWindowsPath if posix else pathlib.WindowsPath,
        "PurePosixPath": pathlib.PurePosixPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }
    number, text = (int, float), (str,)
    table = {
        "_codecs.encode": _latin_1,
        "builtins.bytearray": _octets(bytearray),
        "builtins.bytes": _octets(bytes),
        "builtins.complex": _of(complex, number, number),
        "builtins.frozenset": _sequence(frozenset, check_key),
        "builtins.list": _sequence(list, lambda item: None),
        "builtins.range": _of(range, (int,), (int,), (int,), least=1),
        "builtins.set": _sequence(set, check_key),
        "builtins.slice": _of(slice, _SIZES, _SIZES, _SIZES, least=1),
        "collections.Counter": _counter,
        "collections.OrderedDict": _ordered,
        "datetime.date": _moment(datetime.date, 4),
        "datetime.datetime": _moment(datetime.datetime, 10),
        "datetime.time": _moment(datetime.time, 6),
        "datetime.timedelta": _of(datetime.timedelta, *[(int,)] * 3),
        "datetime.timezone": _of(datetime.timezone, (datetime.timedelta,), text, least=1),
        "torch.Size": _sequence(torch.Size, _check_size),
        "torch.device": _of(torch.device, text, (int,), least=1),
        "torch.serialization._get_layout": _layout,
        "torch.torch_version.TorchVersion": _of(TorchVersion, text, least=1),
    }
    for module in ("pathlib", "pathlib._local"):
        table |= {f"{module}.{name}": _path(cls) for name, cls in paths.items()}
    return table


_FUNCTIONS = _table()
# What stands for itself: nothing can be done with it.
CONSTANTS = {f"torch.{name}": x for name, x in vars(torch).items() if type(x) is torch.dtype}
# What may be named, as an argument, and is not looked at.
NAMED = {"numpy.ndarray": np.ndarray}
# Empty, to be filled with attributes.
SPACES = {"argparse.Namespace": argparse.Namespace, "types.SimpleNamespace": types.SimpleNamespace}
