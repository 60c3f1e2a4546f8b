"""Swapping names in a fork of a YOLO, and putting the very same objects back.

A YOLO family is *declared* (`synet.patches.declaration`): which classes of the module that holds
``parse_model`` give way to which of ours, and which functions are wrapped. This module applies a
declaration to every module of a fork that fits it, and writes down what it displaced, so that
undoing needs no second list (`synet.patches.undo`).

A fork is recognised by what its modules *have*, wherever they lie and whatever they are
called: an import hook looks at every module that has just executed, and
modules that were imported earlier are looked at once.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import wrapt

from synet.patches.contents import classes_of, defined_function, holders_of
from synet.patches.declaration import Family, Fork, Swap, Wrap, resolve
from synet.patches.displaced import Displaced
from synet.patches.import_hook import ImportHook
from synet.patches.places import file_of, fork_root, modules_below, within
from synet.patches.recognise_folders import holds_builder
from synet.patches.recognise_forks import missing_of, models_of
from synet.patches.target import Target
from synet.patches.undo import Applied, title
from synet.system.errors import PatchError
from synet.system.process import names_of

LOGGER = logging.getLogger("synet")

# In the source of a module that imports our layers itself.
_TAKES_OURS = re.compile(rb"synet\.(layers|katana|sabre|saber)\b|from synet import")


class Patching:
    """A patch that is in place: its hook, its forks, and the way back.

    Parameters
    ----------
    target
        What models are built for.
    families
        Declarations, tried in order.
    roots
        Folders whose modules are certainly a fork's own, before any builder is seen.
    functions
        More wrappers for functions of a fork (repairs).
    weights
        As of `Fork`.
    """

    def __init__(
        self,
        target: Target,
        families: tuple[Family, ...],
        roots: tuple[Path, ...] = (),
        functions: tuple[Wrap, ...] = (),
        weights: str = "",
    ) -> None:
        self.target = target
        self.weights = weights
        self.teacher: Path | None = None
        self.families = families
        self.roots = list(roots)
        self.functions = functions
        self.forks: list[Fork] = []
        self.unrecognised: list[tuple[str, str]] = []
        self.unreached: list[str] = []
        self.displaced = Displaced()
        self.applied = Applied()

    def start(self) -> None:
        """Patch what is imported, and whatever will be. All of it, or, on an error, nothing."""
        try:
            hook = ImportHook(self.executed)
            sys.meta_path.insert(0, hook)
            self.applied.on_undo(lambda: sys.meta_path.remove(hook))
            for module in list(sys.modules.values()):
                self.executed(module)
        except BaseException:
            self.stop()
            raise

    def learn(self, families: Iterable[Family], roots: Iterable[Path] = ()) -> None:
        """Patch forks of more families, too, and take more folders for forks."""
        more = tuple(family for family in families if family not in self.families)
        self.families = more + self.families  # the particular before the general
        self.roots += [root for root in roots if root not in self.roots]
        for module in list(sys.modules.values()) if more else ():
            self.executed(module)

    @contextmanager
    def learning(self, families: Iterable[Family], roots: Iterable[Path]) -> Iterator[None]:
        """`learn`, and forget it after the block."""
        before = self.families, list(self.roots)
        self.learn(families, roots)
        try:
            yield
        finally:
            self.families, self.roots[:] = before

    @property
    def chip(self) -> str | None:
        """That of models that name none; None where layers are left as they are."""
        return self.target.chip

    def aim(self, target: Target) -> None:
        """Build for another target from now on."""
        for each in (self, *self.forks):
            each.target = target

    def stop(self) -> None:
        """Put every displaced object back."""
        self.applied.undo()
        self.forks.clear()

    def roots_of_forks(self) -> tuple[Path, ...]:
        """Folders whose classes a checkpoint may name."""
        return tuple(dict.fromkeys([*self.roots, *(fork.root for fork in self.forks)]))

    def executed(self, module: ModuleType) -> None:
        """Look at a module whose code has just run (or had run before the patch)."""
        file = file_of(module)
        if file is None:
            return
        if self._is_forks(file):
            fork = next((fork for fork in self.forks if within(file, fork.root)), None)
            self._wrap_functions(module, fork)
        for builder in dict.fromkeys(family.builder for family in self.families):
            function = defined_function(module, builder)
            if function is not None:
                self._found_builder(module, function, file)

    def _is_forks(self, file: Path | None) -> bool:
        """Does a fork lie there, though nothing that tells so may have been imported yet?"""
        builders = frozenset(family.builder for family in self.families)
        return any(within(file, fork.root) for fork in self.forks) or any(
            within(file, root) and holds_builder(root, builders) for root in self.roots
        )

    def _found_builder(self, module: ModuleType, function: FunctionType, file: Path) -> None:
        named = [family for family in self.families if family.builder == function.__name__]
        family = next((family for family in named if family.inputs_of(function)), None)
        root = fork_root(module.__name__, file)
        fork = family and Fork(module, root, family, self.target, self.weights)
        missing = (
            missing_of(fork) if fork else [f"{function.__name__} of a definition and channels"]
        )
        if fork and not missing:
            self._patch(fork, function)
        elif fork and self.chip and any(within(file, root) for root in self.roots):
            raise PatchError(
                f"{file}: looks like {family.name} (it defines {function.__name__}) but lacks "
                f"{', '.join(missing)}; SyNet cannot make its models safe for {self.chip}. "
                f"Give the fork's own class that name, import it there, or write a patch of its "
                f"own: synet patches new {fork.root}"
            )
        else:
            # Recorded rather than raised: YOLOs import each other's packages for their helpers.
            shown = ", ".join(inspect.signature(function).parameters)
            self.unrecognised.append((module.__name__, f"{function.__name__}({shown})"))

    def _patch(self, fork: Fork, function: FunctionType) -> None:
        self.forks.append(fork)
        modules = self._modules()
        for swap in fork.family.swaps:
            if swap.name in fork.called:
                self._swap(swap, fork, modules)
        for name, reference in fork.family.additions.items():
            self.applied.bind(fork.module, name, resolve(reference), "add")
        wrapper = wrapt.FunctionWrapper(function, fork.family.parse_model(fork))
        self._rebind(function, wrapper, "wrap", modules)
        for cls in models_of(fork):
            wrapper = wrapt.FunctionWrapper(vars(cls)["__init__"], fork.family.model_init(fork))
            self.applied.bind(cls, "__init__", wrapper, "wrap")
        for module in modules:
            if self._is_forks(file_of(module)):
                self._wrap_functions(module, fork, modules)

    def _swap(self, swap: Swap, fork: Fork, modules: list[ModuleType]) -> None:
        """Put our class in the place of the fork's, also below what is derived from it."""
        old, new = fork.names[fork.called[swap.name]], resolve(swap.new)
        if issubclass(old, new):  # from a module of the same fork that is swapped already
            return
        if hasattr(new, "in_place_of"):  # it is called as the old one was
            new = new.in_place_of(old)
        self._rebind(old, new, "swap", modules, fork)
        self.displaced.note(old, new, fork.root, self.applied)
        for cls in [cls for module in modules for cls in classes_of(module)]:
            if old in cls.__bases__:
                self.applied.rebase(cls, old, new)
        self._note_unreached(old, modules)

    def _note_unreached(self, old: type, modules: list[ModuleType]) -> None:
        """Say where in a fork a swapped class is held by something else than a name."""
        found: dict[int, str] = {}
        for module in reversed(modules):  # what is imported stands behind who imports it
            for place, holder in holders_of(module, old):
                found.setdefault(id(holder), f"{title(module)}.{place}")
        self.unreached += found.values()
        for place in found.values():
            LOGGER.warning(
                "%s keeps the fork's own %s, which a swap of names cannot reach; what is built "
                "with it is made safe layer by layer",
                place,
                old.__name__,
            )

    def _wrap_functions(
        self, module: ModuleType, fork: Fork | None, modules: list[ModuleType] | None = None
    ) -> None:
        """Wrap the named functions that `module` defines, wherever the fork has bound them."""
        for wrap in (*self.functions, *(fork.family.functions if fork else ())):
            owner, _, name = wrap.name.rpartition(".")
            function = None if owner else defined_function(module, name)
            if function is not None and wrap.fits(function, module):
                wrapper = wrapt.FunctionWrapper(function, wrap.wrapper(fork))
                self._rebind(function, wrapper, "wrap", modules or self._modules())
            for cls in classes_of(module):
                method: Any = vars(cls).get(name) if owner in ("", cls.__name__) else None
                plain = method.__func__ if type(method) is staticmethod else method
                if type(plain) is FunctionType and wrap.fits(plain, cls):
                    wrapper = wrapt.FunctionWrapper(method, wrap.wrapper(fork))
                    self.applied.bind(cls, name, wrapper, "wrap")

    def _rebind(
        self,
        old: Any,
        new: Any,
        kind: str,
        modules: list[ModuleType],
        fork: Fork | None = None,
    ) -> None:
        """Put `new` wherever a fork's module, or the user's script, has bound `old`.

        `fork` is that of a class, which other forks may get in the place of theirs.
        """
        for module in modules:
            for name in [n for n, value in names_of(module).items() if value is old]:
                self.applied.bind(module, name, new, kind)
        self.applied.on_undo(lambda: self._withdraw(old, new, fork))

    def _withdraw(self, old: Any, new: Any, fork: Fork | None) -> None:
        """Put `old` back also where a module has imported `new` since, or derived from it."""
        others = [other.root for other in self.forks if fork and other.root != fork.root]
        for module in self._modules():
            file, names = file_of(module), names_of(module)
            if any(within(file, root) for root in others):
                continue
            held = [name for name, value in names.items() if value is new]
            derived = [cls for cls in classes_of(module) if fork and new in cls.__bases__]
            if (held or derived) and not (fork and _TAKES_OURS.search(file.read_bytes())):
                names.update(dict.fromkeys(held, old))
                for cls in derived:
                    cls.__bases__ = tuple(old if base is new else base for base in cls.__bases__)

    def _modules(self) -> list[ModuleType]:
        return modules_below(*self.roots_of_forks())
