"""The fork's own classes, which ours have taken the place of, for networks that were made of them.

A network that was trained without the patch runs in a patched process as it was trained: a
checkpoint names the fork's classes, and gets those very ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from synet.patches.places import file_of, within
from synet.patches.undo import Applied

if TYPE_CHECKING:
    from torch import nn

FORWARDS = ("forward", "forward_fuse", "fuseforward")


@dataclass(frozen=True)
class _Swapped:
    """A class of a fork's, what took its place, and where the fork lies."""

    old: type
    new: type
    root: Path


class Displaced:
    """What swaps have displaced so far in one process."""

    def __init__(self) -> None:
        self._swapped: list[_Swapped] = []

    def note(self, old: type, new: type, root: Path, applied: Applied) -> None:
        """`new` takes the place of `old` in a fork, until `applied` is undone."""
        from synet.layers.named import Named

        swapped = _Swapped(old, new, root)
        self._swapped.append(swapped)
        applied.on_undo(lambda: self._swapped.remove(swapped))
        if isinstance(new, Named):
            applied.on_undo(new.stands_for(old))

    def own_class(self, module: str, cls: type) -> type:
        """The class that the fork itself has in a module where `cls` is found; mostly `cls`."""
        file = file_of(sys.modules.get(module))
        found = [each.old for each in self._swapped if each.new is cls and within(file, each.root)]
        return next((old for old in found if old.__module__ == module), (*found, cls)[0])

    def run_as_trained(self, model: nn.Module) -> None:
        """Have a network that was trained without the patch run as without it.

        A class of the fork that is derived from a swapped one has our forward for now.
        """
        from synet.checkpoints.module_state import modules_of

        modules = modules_of(model)
        if any(is_ours(type(module)) for module in modules):
            return  # it was trained under the patch
        for module in modules:
            line = type(module).__mro__
            new = next(filter(is_ours, line), None)
            old = new and self.own_class(line[0].__module__, new)
            for name in FORWARDS if old is not new else ():
                if is_ours(definer_of(line, name)) and hasattr(old, name):
                    vars(module)[name] = MethodType(getattr(old, name), module)


def definer_of(line: tuple[type, ...], name: str) -> type:
    """The first class of a line that has a method of that name; ``object`` if none has."""
    return next((cls for cls in line if name in vars(cls)), object)


def is_ours(cls: type) -> bool:
    """Is a class SyNet's?"""
    return cls.__module__.startswith("synet.")


def settle(model: Any) -> None:
    """Have a model run as it was built after the patch is undone.

    A class of the fork that was derived from a swapped one gets its own base back, and with it
    another way to run what ours has built.
    """
    for module in model.modules():
        line = type(module).__mro__
        if is_ours(line[0]) or not any(map(is_ours, line)):
            continue
        for name in FORWARDS:
            definer = definer_of(line, name)
            if is_ours(definer):
                vars(module)[name] = MethodType(vars(definer)[name], module)
