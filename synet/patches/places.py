"""Where imported modules lie, and which folder is that of a fork."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from synet.system.files import lies_within
from synet.system.process import names_of


def modules_below(*roots: Path) -> list[ModuleType]:
    """Imported modules whose files lie in forks, in the order of their import."""
    known, found = _known_below(roots), []
    for module in list(sys.modules.values()):
        name = names_of(module).get("__file__")
        is_text = type(name) is str  # anything may stand there
        lies = known.get(name) if is_text else None
        if lies is None:
            file = file_of(module)
            lies = any(within(file, root) for root in roots)
            known |= {name: lies} if is_text else {}
        if lies:
            found.append(module)
    return found


@cache
def _known_below(roots: tuple[Path, ...]) -> dict[str, bool]:
    """Which files lie below `roots`, as far as it was asked: thousands, for each name of a fork."""
    return {}


def fork_root(name: str, file: Path) -> Path:
    """The folder that holds the fork of which module `name`, at `file`, is a part.

    An installed package is its own folder (its neighbours are other people's); for a
    clone it is the folder in which ``models`` and ``train.py`` lie side by side.
    """
    top = file.parent if name.count(".") == 0 else file.parents[name.count(".") - 1]
    if top.parent in installed_folders():
        return top
    return top if name.count(".") == 0 else top.parent


def script_root() -> Path | None:
    """The folder of the script that Python was started with, if that is a script of the user's."""
    file = file_of(sys.modules.get("__main__"))
    paths = sysconfig.get_paths()
    installed = [Path(paths[key]) for key in ("stdlib", "purelib", "platlib", "scripts")]
    installed.append(Path(__file__).parents[1])  # python -m synet
    if file is None or any(file.is_relative_to(folder.resolve()) for folder in installed):
        return None
    return file.parent


@cache
def installed_folders() -> frozenset[Path]:
    """Where packages are installed."""
    folders = {*site.getsitepackages(), site.getusersitepackages()}
    folders |= {sysconfig.get_paths()[key] for key in ("purelib", "platlib")}
    return frozenset(Path(folder).resolve() for folder in folders)


@cache
def within(file: Path | None, root: Path) -> bool:
    """`lies_within`, as it is asked of thousands of modules again and again."""
    return file is not None and lies_within(file, root)


def file_of(module: Any) -> Path | None:
    """The source file of what lies in ``sys.modules``, if it has one."""
    name = names_of(module).get("__file__")
    known = issubclass(type(name), (str, bytes, Path)) and name and "\0" not in os.fsdecode(name)
    return _resolved(os.fsdecode(name)) if known else None


@cache
def _resolved(name: str) -> Path:
    return _resolved_folder(os.path.dirname(name)) / os.path.basename(name)


@cache
def _resolved_folder(name: str) -> Path:  # thousands of modules lie in some hundred folders
    return Path(name).resolve()
