"""Stand-ins for compiled or vanished modules that forks import whether they need them or not."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import platform
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from synet.patches.repairs.repair import LibraryRepair, is_missing

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


def pkg_resources() -> ModuleType:
    """The part of setuptools' former ``pkg_resources`` that YOLOs use."""
    from synet.patches.repairs import pkg_resources as ours

    module = ModuleType("pkg_resources", ours.__doc__)
    vars(module).update({name: getattr(ours, name) for name in ours.__all__})
    return module


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for one missing module; asked last, so only where nobody else has it."""

    def __init__(self, name: str, make: Callable[[], ModuleType]) -> None:
        self.name, self.make = name, make
        self.provided: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        # an extension lies in whatever package of the fork it was built in
        inside = self.name.endswith("_ext") and name.endswith(f".{self.name}")
        return importlib.machinery.ModuleSpec(name, self) if inside or name == self.name else None

    def create_module(self, spec: Any) -> ModuleType:
        self.provided.append(spec.name)
        return self.make()

    def exec_module(self, module: ModuleType) -> None:
        pass


def _is_needed(module: str) -> bool:
    if module.endswith("_ext"):
        # inside a fork: that it is missing is known when it is imported, and not before
        return not any(isinstance(f, _Finder) and f.name == module for f in sys.meta_path)
    return is_missing(module)


def provide(applied: Applied, module: str, make: Callable[[], ModuleType]) -> None:
    """Have imports of a missing module succeed, with what `make` makes of it, until undone."""
    finder = _Finder(module, make)

    def withdraw() -> None:
        sys.meta_path.remove(finder)
        for name in finder.provided:
            for key in [k for k in sys.modules if k == name or k.startswith(f"{name}.")]:
                del sys.modules[key]

    sys.meta_path.append(finder)
    applied.on_undo(withdraw)


def _stand_in(
    name: str, module: str, make: Callable[[], ModuleType], error: str, since: str
) -> LibraryRepair:
    needed, apply = partial(_is_needed, module), partial(provide, module=module, make=make)
    return LibraryRepair(name, error, since, needed, apply)


STAND_INS = (
    _stand_in(
        *("pkg_resources", "pkg_resources", pkg_resources),
        error="ModuleNotFoundError: No module named 'pkg_resources'",
        since="setuptools 81",
    ),
    _stand_in(
        *("ipython", "IPython", ipython),
        error="ModuleNotFoundError: No module named 'IPython', when models/common.py is imported",
        since="YOLOv5 v7.0",
    ),
    _stand_in(
        *("stub_cpuinfo", "cpuinfo", cpuinfo),
        error="ModuleNotFoundError: No module named 'cpuinfo', when the processor is named",
        since="ultralytics 8.0 to 8.3; later ones do without",
    ),
    _stand_in(
        *("stub_mish_cuda", "mish_cuda", mish_cuda),
        error="ModuleNotFoundError: No module named 'mish_cuda', a CUDA extension",
        since="ScaledYOLOv4; torch has had Mish since 1.9",
    ),
    _stand_in(
        *("stub_nms_rotated", "nms_rotated_ext", nms_rotated_ext),
        error="ImportError: cannot import name 'nms_rotated_ext', a CUDA extension",
        since="forks for rotated boxes",
    ),
)
