"""Unpickling that makes things and runs nothing.

A pickle is a program for a small machine: it names objects, calls what it named, and fills
what came of it. Here it never gets hold of a real one. Each name gives it a stand-in that
cannot be changed and that only plain data can be made with. A module is an empty shell while
the file is read: it takes a state, and cannot be called. When all is read, the shells become
what they are named.
"""

from __future__ import annotations

import argparse
import contextlib
import copyreg
import pickle
import re
import types
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from synet.allowed import NAMED, PLAIN, class_named, fills_itself, may_be_a_forks
from synet.network import Network, is_row

# What a layer may borrow of another one's: YOLOv5's Segment keeps ``Detect.forward``, and
# fusing puts ``forward_fuse`` in place of ``forward``.
_FORWARD = re.compile(r"forward\w*|fuseforward")

_PARTS = {"_parameters": torch.Tensor, "_buffers": torch.Tensor, "_modules": nn.Module}
_HEAP_TYPE = 1 << 9  # a flag of CPython's: made by a class statement, and so open to changes


class ForbiddenError(Exception):
    """The file does what no checkpoint of a model does."""


class _Sealed(type):
    """The type of stand-ins: a pickle can call one as far as it allows, and change nothing."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.call(*args, **kwargs)

    def __setattr__(cls, name: str, value: Any) -> None:
        raise ForbiddenError(f"changes {cls.__doc__}")

    __delattr__ = __setattr__


def _stand_in(name: str, target: Any = None, call: Any = None, new: Any = None) -> _Sealed:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ForbiddenError(f"calls {name}")

    new = new or refuse
    body = {
        "__doc__": name,
        "target": target,
        "call": staticmethod(call or refuse),
        "__new__": lambda _, *args, **kwargs: new(*args, **kwargs),
    }
    return _Sealed("StandIn", (), body)


def _real(value: Any) -> Any:
    return value.target if type(value) is _Sealed else value


def _all_real(values: tuple) -> tuple:
    return tuple(map(_real, values)) if _Sealed in map(type, values) else values


def _class_of_torch(stand_in: _Sealed) -> type:
    """The class itself, which a layer may keep to build others with. Not a fork's: those eval."""
    cls = stand_in.target
    if isinstance(cls, type) and cls.__module__.startswith("torch.nn."):
        return cls
    raise ForbiddenError(f"holds {stand_in.__doc__} itself")


def _plain(name: str, target: Any) -> Any:
    if not callable(target) or isinstance(target, type) and not target.__flags__ & _HEAP_TYPE:
        return target  # nobody can change it, so it may stand for itself

    def call(*args: Any) -> Any:
        return target(*_all_real(args))

    def new(*args: Any) -> Any:
        return target.__new__(target, *_all_real(args))

    return _stand_in(name, target, call, new if isinstance(target, type) else None)


def _without_arguments(name: str, make: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            raise ForbiddenError(f"calls {name}")
        return make()

    return call


class _Inert:
    """What comes of a refused name: whatever is done with it does nothing."""

    def _nothing(self, *_: Any, **__: Any) -> _Inert:
        return self

    __call__ = __setitem__ = __setstate__ = add = append = extend = _nothing


def _inert(name: str) -> _Sealed:
    def nothing(*_: Any, **__: Any) -> _Inert:
        return _Inert()

    return _stand_in(name, call=nothing, new=nothing)


class _Borrowed:
    """The forward of a layer, kept as an attribute by a layer.

    Of which, the `Reading` knows: what lies in here, the file could change.
    """

    __slots__ = ()

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ForbiddenError("calls a layer's forward")


@dataclass(eq=False)
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
    """The reading of one file.

    Parameters
    ----------
    roots
        Folders of forks, whose classes it may name.
    forkless
        Make do without the classes of a fork that is not here.
    """

    def __init__(self, roots: tuple[Path, ...], forkless: bool = False) -> None:
        self._roots = roots
        self._forkless = forkless
        self.refused: list[str] = []
        self.missing: list[str] = []
        self._stand_ins: dict[tuple[str, str], Any] = {}
        self._made: dict[int, _Made] = {}
        self._filled: list[_Made] = []
        self._borrowed: dict[_Borrowed, tuple[Any, str]] = {}
        body = {
            "__setstate__": lambda shell, state: self._fill(shell, state),
            "__call__": lambda shell, *_, **__: self._refuse_call(shell),
        }
        self._shell = type("Shell", (), body)
        self._space = type("Space", (types.SimpleNamespace,), body)

    def pickle_module(self) -> types.SimpleNamespace:
        """What ``torch.load`` takes for ``pickle_module``."""
        reading = self

        class Unpickler(pickle.Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                return reading._named(module, name)

            def __setattr__(self, key: str, value: Any) -> None:
                # torch hands it over so
                super().__setattr__(key, _storages(value) if key == "persistent_load" else value)

        def load(file: IO[bytes], **options: Any) -> Any:
            return Unpickler(file, **options).load()

        copyreg.clear_extension_cache()  # it would answer in place of find_class
        return types.SimpleNamespace(__name__=__name__, Unpickler=Unpickler, load=load)

    # ------------------------------------------------------------------------- while it is read

    def _named(self, module: str, name: str) -> Any:
        key = module, name
        if key not in self._stand_ins:
            self._stand_ins[key] = self._found(*_todays_name(module, name))
        return self._stand_ins[key]

    def _found(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "builtins.getattr":
            return _stand_in(full, call=self._borrow)
        if full in PLAIN:
            return _plain(full, PLAIN[full])
        if full in NAMED:
            return _stand_in(full, NAMED[full])
        owner, _, method = name.rpartition(".")
        if owner and _FORWARD.fullmatch(method):  # as newer protocols name it
            return self._borrow(self._named(module, owner), method)
        if module.startswith("torchvision.transforms."):
            # How a classifier's images were prepared: left out, as its predictor finds that anew.
            nothing = self._maker(self._shell, shown(full), None)
            return _stand_in(full, call=lambda *_: None, new=nothing)
        cls = class_named(module, name, self._roots)
        full = shown(full)
        if cls is not None and not fills_itself(cls):
            if issubclass(cls, nn.Module):
                return _stand_in(full, cls, new=self._maker(self._shell, full, cls))
            if issubclass(cls, types.SimpleNamespace):
                return _stand_in(full, cls, call=self._maker(self._space, full, cls))
            become = cls if issubclass(cls, argparse.Namespace) else None
            return _stand_in(full, new=self._maker(self._shell, full, become))
        if cls is None and self._forkless and may_be_a_forks(module):
            return _stand_in(
                full,
                call=_without_arguments(full, types.SimpleNamespace),
                new=self._maker(self._shell, full, None),
            )
        self.refused.append(full)
        return _inert(full)

    def _maker(self, kind: type, name: str, cls: type | None) -> Callable:
        def make() -> Any:
            shell = kind()
            self._made[id(shell)] = _Made(shell, name, cls)
            return shell

        return _without_arguments(name, make)

    def _refuse_call(self, shell: Any) -> Any:
        raise ForbiddenError(f"calls a {self._made[id(shell)].name}")

    def _fill(self, shell: Any, state: Any) -> None:
        made = self._made[id(shell)]
        if type(state) is not dict:
            raise ForbiddenError(f"fills a {made.name} as no module is filled")
        made.state = state
        self._filled.append(made)

    def _borrow(self, owner: Any, name: Any = None, *others: Any) -> Any:
        if others or not isinstance(name, str):
            raise ForbiddenError("calls builtins.getattr")
        if self.refused:  # owner may be anything, and nothing will come of it
            return _Inert()
        of_layer = type(owner) is _Sealed or id(owner) in self._made
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
        special = {_Borrowed, _Sealed, self._shell, self._space}
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
        for known in (self._made, self._filled, self._stand_ins, self._borrowed):
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
            elif type(value) is _Sealed:
                value = _class_of_torch(value)
            yield key, value

    def _forward(self, borrowed: _Borrowed) -> Callable | None:
        owner, name = self._borrowed[borrowed]
        made = self._made.get(id(owner))
        cls = _real(owner) if made is None else made.cls
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            return None
        function = getattr(cls, name, None)
        if not callable(function):
            return None
        return function if made is None else types.MethodType(function, owner)

    def _become(self, made: _Made) -> None:
        if made.cls is None:
            return
        if issubclass(made.cls, nn.Module):
            for part, kind in _PARTS.items():
                parts = made.state.get(part)
                if (
                    not isinstance(parts, dict)
                    or parts
                    and not all(
                        isinstance(value, kind) or value is None or type(value) is self._shell
                        for value in parts.values()
                    )
                ):
                    raise ForbiddenError(f"fills a {made.name} as no module is filled")
            made.cls.__setstate__(made.shell, made.state)
        else:
            vars(made.shell).update(made.state)

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
                yield self._made[id(owner)].name if id(owner) in self._made else owner.__doc__
            elif made is not None and made.cls is None:
                yield made.name
                ahead += made.state.values() if made.state else ()
            elif isinstance(value, dict):
                ahead += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple, set, frozenset)):
                ahead += value
            elif isinstance(value, torch.Tensor):
                ahead.append(value._backward_hooks)
            elif made is not None:
                ahead += vars(value).values()


def names_in(file: IO[bytes], pickles: int = 1) -> set[str]:
    """What the next `pickles` pickles of a file name, each as ``"module.name"``; makes nothing."""
    names = set()

    class Census(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            names.add(".".join(_todays_name(module, name)))
            return _inert(name)

        def persistent_load(self, saved: Any) -> Any:
            return _Inert()

    with contextlib.suppress(Exception):  # damaged: what is to be said of it, reading it will say
        for _ in range(pickles):
            Census(file).load()
    return names


def shown(name: str) -> str:
    """A name out of a file, fit for one line."""
    return name if re.fullmatch(r"[\w.<>]{1,200}", name) else ascii(name)[:200]


def _storages(persistent_load: Callable) -> Callable:
    """torch's way to a tensor's content, for stand-ins.

    torch < 1.6 pickled a module's class along with its source, and compares the two: a look
    into any file, and a ``.patch`` written. So a class is just the class.
    """

    def load(saved: Any) -> Any:
        kind = saved[0] if isinstance(saved, tuple) and saved else None
        if kind in ("storage", b"storage"):
            return persistent_load(_all_real(saved))
        if kind in ("module", b"module") and type(saved[1]) is _Sealed:
            return saved[1]
        raise ForbiddenError("asks for what is no content of a tensor")

    return load


def _todays_name(module: str, name: str) -> tuple[str, str]:
    # pickles of torch's protocol spell the standard library as Python 2 did
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name
