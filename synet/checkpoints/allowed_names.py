"""Which classes a checkpoint may name: those of torch.nn, SyNet and a fork."""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from synet.system.errors import CheckpointError
from synet.system.files import lies_within

# Modules of ultralytics, by where they were in its first versions.
MOVED = {
    "ultralytics.yolo.data": "ultralytics.data",
    "ultralytics.yolo.utils": "ultralytics.utils",
    "ultralytics.yolo.v8": "ultralytics.models.yolo",
}
_OURS = (Path(nn.__file__).resolve().parent, Path(__file__).resolve().parents[1])


# Of a module's name, and a class that it has: the one that was there before a patch.
OwnClass = Callable[[str, type], type]


def as_it_is(_: str, cls: type) -> type:
    """The class itself."""
    return cls


def class_named(
    module_name: str, name: str, roots: tuple[Path, ...], own_class: OwnClass = as_it_is
) -> type | None:
    """The class of that name, where it is defined in torch.nn, SyNet or below `roots`.

    A module of theirs is imported where that is needed and its source defines the class:
    otherwise a checkpoint could have any script of the fork run, by naming it. Of what is found
    `own_class` tells what is meant.

    Raises
    ------
    CheckpointError
        That module cannot be imported.
    """
    trusted = (*_OURS, *roots)
    if f"{module_name}.".startswith("synet.layers."):
        with contextlib.suppress(ImportError):  # found however SyNet is installed
            importlib.import_module(module_name)
    for called in dict.fromkeys((*_names_in_forks(module_name, roots), module_name)):
        module = sys.modules.get(called)
        if module is None and _defines(called, name, trusted):
            module = _imported(called)
        found = vars(module).get(name) if isinstance(module, types.ModuleType) else None
        if isinstance(found, type) and _home_is_in(trusted, found):
            return own_class(called, found)
    return None


def _names_in_forks(module_name: str, roots: tuple[Path, ...]) -> Iterator[str]:
    """What forks call a module now that was in another place, or in a package, when it was saved.

    A clone of YOLOv5 calls it ``models.yolo``, a package ``yolov5.models.yolo``. Either name may
    work, and give other classes: what is imported already is meant, or what is found first.
    """
    for old, new in MOVED.items():
        if f"{module_name}.".startswith(f"{old}."):
            yield new + module_name.removeprefix(old)
    parts = module_name.split(".")
    if not may_be_a_forks(module_name) or not all(map(str.isidentifier, parts)):
        return
    for root, start in product(roots, (0, 1)):
        file = root.joinpath(*parts[start:]).with_suffix(".py")
        if file.is_file():
            above = [folder for folder in map(Path, sys.path) if folder in file.parents]
            names = [".".join(file.relative_to(f).with_suffix("").parts) for f in above]
            yield from sorted(names, key=lambda name: name not in sys.modules)


def fills_itself(cls: type) -> bool:
    """Is an instance filled by a ``__setstate__`` that is neither torch's nor ours?

    Or by one of torch's that talks to other processes. One of a fork's module that hands the state
    on to torch's does not count: see `fill`.
    """
    if issubclass(cls, nn.parallel.DistributedDataParallel):
        return True
    for base in cls.__mro__:
        own = vars(base).get("__setstate__")
        if own is not None and _home_is_in(_OURS, base):
            return False
        code = getattr(own, "__code__", None)
        if own is not None and (code is None or "__setstate__" not in code.co_names):
            return True
    return False


def fill(module: nn.Module, state: dict[str, Any]) -> None:
    """Give a module its state as torch does, or ours.

    A ``__setstate__`` of a fork's does not run, and what it would have added to an older file
    (`synet.checkpoints.older`) is missed, if it is needed, where the network runs first.
    """
    lines = [cls for cls in type(module).__mro__ if "__setstate__" in vars(cls)]
    vars(next(cls for cls in lines if _home_is_in(_OURS, cls)))["__setstate__"](module, state)


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
                classes = {node.name for node in body if isinstance(node, ast.ClassDef)}
                return name in classes or any(
                    _is_another_name(node, name, classes)
                    or (
                        file.name == "__init__.py"
                        and isinstance(node, ast.ImportFrom)
                        and any((alias.asname or alias.name) == name for alias in node.names)
                    )
                    for node in body
                )
    return False


def _is_another_name(node: ast.stmt, name: str, classes: set[str]) -> bool:
    """``Model = DetectionModel``: what old files call a class."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and node.value.id in classes
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    )


@cache
def _resolved(file: str) -> Path:
    return Path(file).resolve()


def _within(file: Path, folders: tuple[Path, ...]) -> bool:
    return any(lies_within(file, folder) for folder in folders)
