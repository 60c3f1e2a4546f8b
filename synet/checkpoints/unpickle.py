"""Unpickling that makes things and runs nothing.

A pickle is a program for a small machine: it names objects, calls what it named, and fills
what came of it. Here that machine is our own (`synet.checkpoints.machine`), and what it gets for
a name is a note of what may be done with it: plain data is made anew of checked parts. A module
is an empty shell while the file is read: it takes a state, and cannot be called. When all is
read, the shells become what they are named.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import types
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from synet.checkpoints.allowed_names import (
    OwnClass,
    as_it_is,
    class_named,
    fill,
    fills_itself,
    may_be_a_forks,
)
from synet.checkpoints.archive import STORAGES
from synet.checkpoints.arrays import Arrays, Unfilled
from synet.checkpoints.machine import ForbiddenError, Inert, Machine, Name
from synet.checkpoints.module_state import Shell, is_module_state
from synet.checkpoints.plain import CONSTANTS, NAMED, SPACES, functions
from synet.checkpoints.rows_network import Network, is_row
from synet.checkpoints.tensors import Tensors

# What a layer may borrow of another one's: YOLOv5's Segment keeps ``Detect.forward``, and
# fusing puts ``forward_fuse`` in place of ``forward``.
_FORWARD = re.compile(r"forward\w*|fuseforward")


def _without_arguments(name: str, make: Callable) -> Callable:
    def call(*args: Any) -> Any:
        if args:
            raise ForbiddenError(f"calls {name}")
        return make()

    return call


def _class_of_torch(name: Name) -> type:
    """The class itself, which a layer may keep to build others with. Not a fork's: those eval."""
    cls = name.target
    if isinstance(cls, type) and cls.__module__.startswith("torch.nn."):
        return cls
    raise ForbiddenError(f"holds {name.full} itself")


def _inert(*_: Any) -> Inert:
    return Inert()


class _Space(types.SimpleNamespace):
    """The same, for what will be a kind of namespace."""


class _Borrowed:
    """The forward of a layer, kept as an attribute by a layer."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class _Made:
    """A thing that the file made and filled.

    `cls` is what the shell becomes when all is read; None where no class is here for it.
    """

    shell: Any
    name: str
    cls: type | None
    state: dict[str, Any] | None = None

    @property
    def layers(self) -> dict[str, Any]:
        layers = (self.state or {}).get("_modules")
        return layers if isinstance(layers, dict) else {}


class Reading:
    """The reading of one file; the world of its machine.

    Parameters
    ----------
    content
        What lies in the file beside the pickle, by the description that a tensor gives.
    size
        The bytes of the file.
    roots
        Folders of forks, whose classes it may name.
    forkless
        Make do without the classes of a fork that is not here.
    own_class
        As for `synet.checkpoints.read.read`.
    """

    def __init__(
        self,
        content: Callable[[Any], Any],
        size: int,
        roots: tuple[Path, ...],
        forkless: bool = False,
        own_class: OwnClass = as_it_is,
    ) -> None:
        self._content = content
        self._roots = roots
        self._forkless = forkless
        self._own_class = own_class
        self._arrays = Arrays()
        self._functions = functions(self._arrays, Tensors(size))
        self.refused: list[str] = []
        self.missing: list[str] = []
        self._names: dict[tuple[str, str], Any] = {}
        self._made: dict[int, _Made] = {}
        self._filled: list[_Made] = []
        self._borrowed: dict[_Borrowed, tuple[Any, str]] = {}

    # ------------------------------------------------------------------------- while it is read

    def named(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        key = module, name
        if key not in self._names:
            self._names[key] = self._found(*_todays_name(module, name))
        return self._names[key]

    def filled(self, thing: Any, state: Any) -> Any:
        """`thing` with its state, which waits until all is read where it is a shell's."""
        made = self._made.get(id(thing))
        if made is not None:
            if type(state) is not dict or made.state is not None:
                raise ForbiddenError(f"fills a {made.name} as no module is filled")
            made.state = state
            self._filled.append(made)
        elif type(thing) is Unfilled:
            return self._arrays.filled(thing, state)
        elif type(thing) is types.SimpleNamespace and type(state) is dict:
            vars(thing).update(state)
        elif type(thing) is OrderedDict and type(state) is dict and {*state} <= {"_metadata"}:
            vars(thing).update(state)  # torch's note of versions, on a state dict
        elif state != {} and type(thing) is not Inert:
            raise ForbiddenError(f"changes {self.described(thing)}")
        return thing

    def content(self, saved: Any) -> Any:
        """What the file has beside the pickle; of a class along with its source, the class."""
        of_class = type(saved) is tuple and saved[:1] in (("module",), (b"module",))
        if of_class and type(saved[1]) is Name:  # torch < 1.6; it would compare the two, and write
            return saved[1]
        return self._content(saved)

    def described(self, thing: Any) -> str:
        """What to call it in an error."""
        if type(thing) is Name:
            return thing.full
        made = self._made.get(id(thing))
        if made is not None:
            return f"a {made.name}"
        return "a layer's forward" if type(thing) is _Borrowed else f"a {type(thing).__name__}"

    def _found(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "builtins.getattr":
            return Name(full, call=self._borrow)
        if full in CONSTANTS or full in STORAGES:
            return CONSTANTS.get(full) or STORAGES[full]
        if full in NAMED:
            return Name(full)
        if full in SPACES:
            return self._space(full, SPACES[full])
        if full in self._functions:
            return Name(full, call=self._functions[full])
        owner, _, method = name.rpartition(".")
        if owner and _FORWARD.fullmatch(method):  # as newer protocols name it
            return self._borrow(self.named(module, owner), method)
        if module.startswith("torchvision.transforms."):
            # How a classifier's images were prepared: left out, as its predictor finds that anew.
            nothing = self._maker(Shell, shown(full), None)
            return Name(full, call=lambda *_: None, new=nothing)
        cls = class_named(module, name, self._roots, self._own_class)
        full = shown(full)
        if cls is not None and not fills_itself(cls):
            if issubclass(cls, nn.Module):
                return Name(full, cls, new=self._maker(Shell, full, cls))
            if issubclass(cls, (types.SimpleNamespace, argparse.Namespace)):
                return self._space(full, cls)
            return Name(full, new=self._maker(Shell, full, None))
        if cls is None and self._forkless and may_be_a_forks(module):
            call = _without_arguments(full, types.SimpleNamespace)
            return Name(full, call=call, new=self._maker(Shell, full, None))
        self.refused.append(full)
        return Name(full, call=_inert)

    def _space(self, full: str, cls: type) -> Name:
        """A kind of namespace, which is called where it is a simple one and else just made."""
        if cls is types.SimpleNamespace:
            return Name(full, call=_without_arguments(full, cls))
        if issubclass(cls, types.SimpleNamespace):
            return Name(full, cls, call=self._maker(_Space, full, cls))
        return Name(full, cls, new=self._maker(Shell, full, cls))

    def _maker(self, kind: type, name: str, cls: type | None) -> Callable:
        def make() -> Any:
            shell = kind()
            self._made[id(shell)] = _Made(shell, name, cls)
            return shell

        return _without_arguments(name, make)

    def _borrow(self, owner: Any = None, name: Any = None, *others: Any) -> Any:
        if others or not isinstance(name, str):
            raise ForbiddenError("calls builtins.getattr")
        if self.refused:  # owner may be anything, and nothing will come of it
            return Inert()
        of_layer = type(owner) is Name or id(owner) in self._made
        if not of_layer or not _FORWARD.fullmatch(name):
            raise ForbiddenError(f"gets {shown(name)} of an object")
        borrowed = _Borrowed()
        self._borrowed[borrowed] = owner, name
        return borrowed

    # --------------------------------------------------------------------------- when it is read

    def finished(self, content: Any) -> Any:
        """`content`, in which each shell has become what it is named.

        Raises
        ------
        ForbiddenError
            Something is where no model has it.
        """
        for made in self._made.values():
            if made.cls is None and self._is_network(made):
                made.cls = Network
        if not self._arrays.are_filled:
            raise ForbiddenError("leaves an array empty")
        special = {_Borrowed, Name, Shell, _Space}
        for made in self._filled:
            if not special.isdisjoint(map(type, made.state.values())):
                made.state = dict(self._kept(made))
        for made in self._made.values():
            if made.cls is not None:
                made.shell.__class__ = made.cls
            if made.state is None and isinstance(made.shell, nn.Module):
                raise ForbiddenError(f"leaves a {made.name} empty")
        for made in self._filled:
            self._become(made)
        if self._borrowed or any(made.cls is None for made in self._made.values()):
            self.missing = sorted(set(self._left_in(content)))
        if self.missing and not self._forkless:
            names = ", ".join(self.missing[:5])
            raise ForbiddenError(f"holds {names} where it should hold modules and plain data")
        # they know the modules, and are known in a circle: the modules should go when unused
        for known in (self._made, self._filled, self._names, self._borrowed, self._functions):
            known.clear()
        return content

    def _is_network(self, made: _Made) -> bool:
        """Is it the root of a YOLO: rows that say where they take their input from?"""
        rows = self._made.get(id(made.layers.get("model")))
        if rows is None or rows.cls is not nn.Sequential or "save" not in made.state:
            return False
        rows = [self._made.get(id(row)) for row in rows.layers.values()]
        return bool(rows) and all(row is not None and is_row(row.state or {}) for row in rows)

    def _kept(self, made: _Made) -> Iterator[tuple[str, Any]]:
        """The state of a thing, without what hangs on it that is no module and no data.

        A fork's loss, say, which its trainer makes anew.
        """
        for key, value in made.state.items():
            there = self._made.get(id(value))
            if there is not None and there.cls is None and not there.layers:
                continue
            if type(value) is _Borrowed:
                value = self._forward(value) or value
            elif type(value) is Name:
                value = _class_of_torch(value)
            yield key, value

    def _forward(self, borrowed: _Borrowed) -> Callable | None:
        owner, name = self._borrowed[borrowed]
        made = self._made.get(id(owner))
        cls = owner.target if made is None else made.cls
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            return None
        function = getattr(cls, name, None)
        if not callable(function):
            return None
        return function if made is None else types.MethodType(function, owner)

    def _become(self, made: _Made) -> None:
        if made.cls is None:
            return
        if not issubclass(made.cls, nn.Module):
            vars(made.shell).update(made.state)
            return
        if not is_module_state(made.cls, made.state):
            raise ForbiddenError(f"fills a {made.name} as no module is filled")
        fill(made.shell, made.state or {})

    def _left_in(self, content: Any) -> Iterator[str]:
        """Names of what could not become anything, and that `content` still holds."""
        seen, ahead = set(), [content]
        while ahead:
            value = ahead.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            made = self._made.get(id(value))
            if type(value) is _Borrowed:
                owner, _ = self._borrowed[value]
                yield self._made[id(owner)].name if id(owner) in self._made else owner.full
            elif made is not None and made.cls is None:
                yield made.name
                ahead += made.state.values() if made.state else ()
            elif isinstance(value, dict):
                ahead += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple, set, frozenset)):
                ahead += value
            elif made is not None:
                ahead += vars(value).values()


class _Census:
    """A world in which nothing is made, and each name is written down."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def named(self, module: str, name: str) -> Any:
        self.names.add(".".join(_todays_name(module, name)))
        return Inert()

    def content(self, *_: Any) -> Inert:
        return Inert()

    filled = described = content


def names_in(file: io.BytesIO) -> set[str]:
    """What a pickle names, each as ``"module.name"``; makes nothing."""
    census = _Census()
    with contextlib.suppress(Exception):  # damaged: what is to be said of it, reading it will say
        Machine(file, census).run()
    return census.names


def shown(name: str) -> str:
    """A name out of a file, fit for one line."""
    return name if re.fullmatch(r"[\w.<>]{1,200}", name) else ascii(name)[:200]


def _todays_name(module: str, name: str) -> tuple[str, str]:
    # pickles of torch's protocol spell the standard library as Python 2 did
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name
