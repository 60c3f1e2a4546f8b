"""What a checkpoint may name: plain data, and the classes of torch.nn, SyNet and a fork."""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import datetime
import importlib
import os
import pathlib
import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.torch_version import TorchVersion

from synet.errors import CheckpointError
from synet.files import lies_within

_OURS = (Path(nn.__file__).resolve().parent, Path(__file__).resolve().parent)


def class_named(module_name: str, name: str, roots: tuple[Path, ...]) -> type | None:
    """The class of that name, where it is defined in torch.nn, SyNet or below `roots`.

    A module of theirs is imported where that is needed and its source defines the class:
    otherwise a checkpoint could have any script of the fork run, by naming it.

    Raises
    ------
    CheckpointError
        That module cannot be imported.
    """
    trusted = (*_OURS, *roots)
    if f"{module_name}.".startswith("synet.layers."):
        with contextlib.suppress(ImportError):  # found however SyNet is installed
            importlib.import_module(module_name)
    module = sys.modules.get(module_name)
    if module is None and _defines(module_name, name, trusted):
        module = _imported(module_name)
    found = vars(module).get(name) if isinstance(module, types.ModuleType) else None
    return found if isinstance(found, type) and _home_is_in(trusted, found) else None


def fills_itself(cls: type) -> bool:
    """Would unpickling an instance run a ``__setstate__`` that is neither torch's nor ours?"""
    definer = next((base for base in cls.__mro__ if "__setstate__" in vars(base)), None)
    return definer is not None and not _home_is_in(_OURS, definer)


def may_be_a_forks(module_name: str) -> bool:
    """Is that no module of Python, torch, numpy or SyNet: could a fork elsewhere define it?"""
    top = module_name.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in ("torch", "numpy", "synet")


def _imported(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # the fork's own code runs, and may want what is not installed
        raise CheckpointError(
            f"names classes of {name}, which cannot be imported: {str(error).partition(chr(10))[0]}"
        ) from error


def _home_is_in(folders: tuple[Path, ...], cls: type) -> bool:
    """Is `cls` really defined where it says it is, and is that in one of `folders`?"""
    home = sys.modules.get(cls.__module__)
    file = getattr(home, "__file__", None)
    if file is None or getattr(home, cls.__name__, None) is not cls:
        return False
    return _within(_resolved(file), folders)


def _defines(module_name: str, name: str, trusted: tuple[Path, ...]) -> bool:
    """Does a source file in a trusted folder define that class, or a package pass it on?"""
    relative = Path(*module_name.split("."))
    for folder in sys.path:
        for file in (
            Path(folder, relative).with_suffix(".py"),
            Path(folder, relative, "__init__.py"),
        ):
            if file.is_file() and _within(file.resolve(), trusted):
                body = ast.parse(file.read_bytes()).body
                return any(
                    (isinstance(node, ast.ClassDef) and node.name == name)
                    or (
                        file.name == "__init__.py"
                        and isinstance(node, ast.ImportFrom)
                        and any((alias.asname or alias.name) == name for alias in node.names)
                    )
                    for node in body
                )
    return False


@cache
def _resolved(file: str) -> Path:
    return Path(file).resolve()


def _within(file: Path, folders: tuple[Path, ...]) -> bool:
    return any(lies_within(file, folder) for folder in folders)


# ---------------------------------------------------------------------------------- plain data


def _latin_1(text: str, encoding: str) -> bytes:
    """``codecs.encode``, for the one use that pickles make of it: bytes, in old protocols."""
    if encoding != "latin1":
        raise ValueError(f"bytes spelled in {encoding!r}")
    return text.encode("latin-1")


def _octets(cls: type) -> Callable:
    def make(*args: Any) -> Any:
        if args and isinstance(args[0], int):  # so many zeros: a few bytes could ask for gigabytes
            raise ValueError(f"{args[0]} bytes that are not in the file")
        return cls(*args)

    return make


def _empty_array(*_: Any) -> np.ndarray:
    """What numpy makes before an array's state tells shape, type and content."""
    return np.empty(0, dtype="b")


def _plain_data() -> dict[str, Any]:
    """What may be had and called, under each name that some version pickled it by."""
    posix = os.name == "posix"
    paths = {  # a checkpoint from the other kind of system keeps its paths, pure
        "PosixPath": pathlib.PosixPath if posix else pathlib.PurePosixPath,
        "WindowsPath": pathlib.PureWindowsPath if posix else pathlib.WindowsPath,
        "PurePosixPath": pathlib.PurePosixPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }
    plain = {
        "_codecs.encode": _latin_1,
        "argparse.Namespace": argparse.Namespace,
        "builtins.bytearray": _octets(bytearray),
        "builtins.bytes": _octets(bytes),
        "collections.Counter": collections.Counter,
        "collections.OrderedDict": collections.OrderedDict,
        "numpy.dtype": np.dtype,
        "torch.Size": torch.Size,
        "torch.device": torch.device,
        "torch.nn.parameter.Parameter": nn.Parameter,
        "torch.serialization._get_layout": torch.serialization._get_layout,
        "torch.torch_version.TorchVersion": TorchVersion,
        "types.SimpleNamespace": types.SimpleNamespace,
    }
    for cls in (complex, frozenset, list, range, set, slice):
        plain[f"builtins.{cls.__name__}"] = cls
    for name in ("date", "datetime", "time", "timedelta", "timezone"):
        plain[f"datetime.{name}"] = getattr(datetime, name)
    for core in ("numpy.core", "numpy._core"):
        plain[f"{core}.multiarray.scalar"] = np.float64().__reduce__()[0]
        plain[f"{core}.multiarray._reconstruct"] = _empty_array
    for module in ("pathlib", "pathlib._local"):
        plain |= {f"{module}.{name}": cls for name, cls in paths.items()}
    for rebuild in ("parameter", "parameter_with_state", "tensor", "tensor_v2", "tensor_v3"):
        if function := getattr(torch._utils, f"_rebuild_{rebuild}", None):
            plain[f"torch._utils._rebuild_{rebuild}"] = function
    plain |= {f"torch.{name}": x for name, x in vars(torch).items() if type(x) is torch.dtype}
    return plain


PLAIN = _plain_data()
# What may be named, as an argument, and not called.
NAMED = {
    "numpy.ndarray": np.ndarray,
    "torch.storage.TypedStorage": torch.storage.TypedStorage,
    "torch.storage.UntypedStorage": torch.storage.UntypedStorage,
}
