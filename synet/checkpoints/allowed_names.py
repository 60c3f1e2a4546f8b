"""Which classes a checkpoint may name: those of torch.nn, SyNet and a fork."""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
import types
from functools import cache
from pathlib import Path

from torch import nn

from synet.system.errors import CheckpointError
from synet.system.files import lies_within

_OURS = (Path(nn.__file__).resolve().parent, Path(__file__).resolve().parents[1])


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
    """Would unpickling an instance run a ``__setstate__`` that is neither torch's nor ours?

    Or one of torch's that talks to other processes.
    """
    if issubclass(cls, nn.parallel.DistributedDataParallel):
        return True
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
