"""Seeing each module once its code has run, while imports go on as Python made them."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from synet.system.import_order import triton_before_tensorflow


class ImportHook(importlib.abc.MetaPathFinder):
    """Calls back with each source module once its code has run.

    It finds nothing itself: it asks the finders after it, and hooks the one loader
    instance that they return, so that loaders keep their type (``inspect``,
    ``importlib.resources`` and zipped packages look at it).
    """

    def __init__(self, executed: Callable[[ModuleType], None]) -> None:
        self.executed = executed

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == "tensorflow":
            triton_before_tensorflow()
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
                    self._hook(spec.loader)
                return spec
        return None

    def _hook(self, loader: importlib.machinery.SourceFileLoader) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the module's __loader__ stays as Python made it
            execute(module)
            if self in sys.meta_path:  # found under the patch, executed after it was undone
                self.executed(module)

        loader.exec_module = exec_module
