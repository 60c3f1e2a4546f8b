"""A YOLO of a few lines, without torch, and what the tests put in place of its classes."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from synet.patches.declaration import Family, Fork, Swap, Wrap

FILES = {
    "__init__.py": "",
    "common.py": """
class Conv:
    pass

class DWConv(Conv):
    pass

class Mixed(dict, Conv):
    pass

class C3:
    def __init__(self):
        self.cv1 = Conv()

Alias = Conv
""",
    "files.py": """
def check_file(file):
    return file
""",
    "yolo.py": """
from PACKAGE.common import *
from PACKAGE.files import check_file

class Detect:
    pass

class Segment(Detect):
    pass

class Model:
    def __init__(self, rows):
        self.model = build_rows(rows, [3])

def build_rows(rows, channels):
    return [eval(name)() for name in rows]
""",
    "late.py": """
from PACKAGE.common import Conv
from PACKAGE.yolo import build_rows
from PACKAGE.files import check_file

class Later(Conv):
    pass
""",
}


class SafeConv:
    """Ours."""


class SafeDetect:
    """Ours."""


def _first_of(fork: Fork) -> Callable:
    def parse_model(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        return [fork.module.__name__, *wrapped(*args, **kwargs)]

    return parse_model


def _model_init(fork: Fork) -> Callable:
    def __init__(wrapped: Callable, model: Any, args: tuple, kwargs: dict) -> None:  # noqa: N807
        wrapped(*args, **kwargs)
        model.chip = fork.chip

    return __init__


def _found(fork: Fork | None) -> Callable:
    return lambda wrapped, _, args, kwargs: f"found {wrapped(*args, **kwargs)}"


FAMILY = Family(
    name="small",
    builder="build_rows",  # no real YOLO, which the process may hold too, has such a function
    swaps=(Swap("Conv", "small_fork:SafeConv"), Swap("Detect", "small_fork:SafeDetect")),
    parse_model=_first_of,
    model_init=_model_init,
    functions=(Wrap("check_file", _found),),
)


def write_package(folder: Path, name: str, **changed: str) -> Path:
    """Write the fork as package `name` below `folder`; `changed` replaces files, by stem."""
    package = folder / name
    package.mkdir(parents=True)
    for file, text in FILES.items():
        text = changed.get(Path(file).stem, text)
        (package / file).write_text(text.replace("PACKAGE", name))
    return package


def load(*names: str) -> list[ModuleType]:
    importlib.invalidate_caches()
    return [importlib.import_module(name) for name in names]


def forget(folder: Path) -> None:
    """Take every module that lies below `folder` out of the process."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType):  # its dictionary, as a lazy module must not be asked
            spec = object.__getattribute__(module, "__dict__").get("__spec__")
            file = getattr(spec, "origin", None)
            if isinstance(file, str) and Path(file).is_relative_to(folder):
                del sys.modules[name]
