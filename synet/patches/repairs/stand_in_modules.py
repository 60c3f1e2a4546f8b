"""Stand-ins for compiled or vanished modules that forks import whether they need them or not."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import platform
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from synet.patches.repairs.pkg_resources import pkg_resources

if TYPE_CHECKING:
    from synet.patches.undo import Applied


def ipython() -> ModuleType:
    """IPython outside a notebook: what is displayed is printed."""
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    display.display = lambda *objects, **options: print(*objects)
    display.clear_output = lambda wait=False: None
    package.display, package.get_ipython = display, lambda: None  # None: not in a notebook
    package.__path__, package.__version__, package.version_info = [], "0", (0, 0, 0)
    sys.modules["IPython.display"] = display
    return package


def mish_cuda() -> ModuleType:
    """The CUDA extension's activation, as torch has it by now."""
    from torch import nn

    module = ModuleType("mish_cuda")
    module.MishCuda = nn.Mish
    return module


def cpuinfo() -> ModuleType:
    """Name of the processor, which some trainers print."""
    module = ModuleType("cpuinfo")
    module.get_cpu_info = lambda: {"brand_raw": platform.processor() or platform.machine()}
    return module


def nms_rotated_ext() -> ModuleType:
    """Suppression of rotated boxes, which forks compile for CUDA, in plain torch."""
    from synet.patches.repairs.rotated_nms import nms_rotated

    module = ModuleType("nms_rotated_ext")
    module.nms_rotated = nms_rotated
    return module


# An extension (_ext) lies in whatever package of the fork it was built in.
STUBS: dict[str, Callable[[], ModuleType]] = {
    "IPython": ipython,
    "cpuinfo": cpuinfo,
    "mish_cuda": mish_cuda,
    "nms_rotated_ext": nms_rotated_ext,
    "pkg_resources": pkg_resources,
}


class _StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for one missing module; asked last, so only where nobody else has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.provided: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        inside = self.name.endswith("_ext") and name.endswith(f".{self.name}")
        return importlib.machinery.ModuleSpec(name, self) if inside or name == self.name else None

    def create_module(self, spec: Any) -> ModuleType:
        self.provided.append(spec.name)
        return STUBS[self.name]()

    def exec_module(self, module: ModuleType) -> None:
        pass


def is_provided(name: str) -> bool:
    """Does a stand-in answer for `name` now?"""
    return any(isinstance(f, _StubFinder) and f.name == name for f in sys.meta_path)


def provide(applied: Applied, name: str) -> None:
    """Have imports of the module `name` succeed where it is missing, until undone."""
    finder = _StubFinder(name)

    def withdraw() -> None:
        sys.meta_path.remove(finder)
        for module in finder.provided:
            for key in [k for k in sys.modules if k == module or k.startswith(f"{module}.")]:
                del sys.modules[key]

    sys.meta_path.append(finder)
    applied.on_undo(withdraw)
