"""How a line of YOLOs is patched, said in data, and a fork for which it is done.

A `Family` names the classes that give way to ours (`Swap`) and the functions that are wrapped
(`Wrap`), as text: it can be read without torch, and without the fork. A `Fork` is one that has what
its family asks for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from synet.chips import Chip, get_chip
from synet.patches.contents import defines
from synet.patches.target import Target

DEFAULT_CHIP = "katana"
# Modules that a ``synet_patch.py`` names which was written before they moved.
MOVED = {"synet.patches.likeness": "synet.patches.recognise_classes"}
# What YOLOs have in the module of their checks, whatever that is called.
CHECK_FUNCTIONS = frozenset(
    ("check_file", "check_yaml", "check_dataset", "check_img_size", "check_imgsz")
    + ("check_requirements", "check_git_status")
)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Swap:
    """A class of the builder's module that gives way to one of ours.

    Parameters
    ----------
    name
        What YOLO calls the class.
    new
        ``"module:Class"``: a string, so that a declaration can be read without torch, and
        importable, because YOLO pickles whole models by class name.
    required
        Is a fork without it none that can be patched?
    like
        ``"module:function"`` that knows such a class by what it does; asked where a fork
        calls it something else.
    when
        ``"module:function"`` of the fork's class and ours: may the one give way to the other?
    called
        What this line calls the class, if something else.
    """

    name: str
    new: str
    required: bool = True
    like: str = ""
    when: str = ""
    called: str = ""


@dataclass(frozen=True)
class Wrap:
    """A function, or method, of a fork, and the wrapt wrapper that it gets.

    Others have functions of the same names, so that it is told by its parameters and by its
    owner, too: the module, or class, that defines it.

    Parameters
    ----------
    name
        ``function``, of a module or of a class; ``Class.method`` is that of one class alone.
    factory
        Takes the `Fork`, or None where its builder is not known yet, and returns
        ``wrapper(wrapped, instance, args, kwargs)``. It may be ``"module:function"``, imported
        where the function is found.
    takes
        The parameters that it begins with, ``self`` among them; of each the names that forks have
        for it, with bars between: ``("self", "i|index")``.
    beside
        What its owner defines, too: another one of these at least. Default: whatever it likes.
    """

    name: str
    factory: Callable[[Fork | None], Callable] | str
    takes: tuple[str, ...] = ()
    beside: frozenset[str] = frozenset()

    def fits(self, function: FunctionType, owner: ModuleType | type) -> bool:
        """Is `function`, which `owner` defines under this name, the one that is meant?"""
        code = getattr(inspect.unwrap(function), "__code__", function.__code__)  # below decorators
        given = code.co_varnames[: code.co_argcount]
        pairs = zip(given, self.takes, strict=False)
        return (
            len(given) >= len(self.takes)
            and all(name in names.split("|") for name, names in pairs)
            and (not self.beside or any(defines(owner, n) for n in self.beside - {self.name}))
        )

    def wrapper(self, fork: Fork | None) -> Callable:
        """The wrapper for a function of `fork`."""
        return (resolve(self.factory) if isinstance(self.factory, str) else self.factory)(fork)


@dataclass(frozen=True)
class Family:
    """How one line of YOLOs is patched.

    Parameters
    ----------
    name
        For messages: ``"yolov5"``.
    swaps
        Classes that the builder's module has.
    parse_model, model_init
        Wrappers for the builder and for the constructor of each class that calls it.
    builder
        Name of the function that makes layers of rows, of a model definition and a number (or
        list) of channels.
    parameters
        What it calls those two. Default: they are its only parameters without a default.
    head
        The detection head that models of the zoo end in.
    chip
        For which models are built that were written for none.
    options
        Further parameters that it has in this line of YOLOs, with defaults.
    additions
        Names that the builder's module gets, with what they stand for (``"module:Class"``).
    functions
        Wrapped wherever in the fork a function of that name is defined; may be missing.
    """

    name: str
    swaps: tuple[Swap, ...]
    parse_model: Callable[[Fork], Callable]
    model_init: Callable[[Fork], Callable]
    builder: str = "parse_model"
    parameters: tuple[str, str] | None = None
    head: str = "Detect"
    chip: str = DEFAULT_CHIP
    options: tuple[str, ...] = ()
    additions: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[Wrap, ...] = ()

    def inputs_of(self, builder: Callable) -> tuple[str, str] | None:
        """What a builder of this line calls the definition and the channels; else None."""
        parameters = inspect.signature(builder).parameters
        required = [
            name
            for name, p in parameters.items()
            if p.default is p.empty and p.kind not in _VARIADIC
        ]
        pair = self.parameters or tuple(required)
        fits = len(pair) == 2 and {*pair, *self.options} <= {*parameters}
        return pair if fits else None


@dataclass
class Building:
    """A model that is being built.

    Parameters
    ----------
    path
        Its yaml file; empty where it is from none.
    model
        Its class.
    pads_alike
        See `synet.layers.choices.Choices`. None: its rows, which are not known yet, will tell.
    notes
        What took the place of layers that the chip does not run, for people.
    """

    path: str
    model: type
    pads_alike: bool | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Fork:
    """One patched builder: the module that defines it, and where its fork lies.

    `target` is what it builds models for now. `weights` is the checkpoint that the command line has
    the training start from, if it does.
    """

    module: ModuleType
    root: Path
    family: Family
    target: Target
    weights: str = ""
    # What this fork calls the classes that were swapped, by the name YOLO has for them.
    called: dict[str, str] = field(default_factory=dict)
    building: list[Building] = field(default_factory=list)  # innermost last

    @property
    def names(self) -> Mapping[str, Any]:
        """What the builder's ``eval`` sees."""
        return vars(self.module)

    @property
    def chip(self) -> str | None:
        """That of the models that are built now; None where layers are left as they are."""
        return self.target.chip

    @property
    def built_for(self) -> Chip:
        """The chip of the models that are built now, with the activation that they get."""
        # where there is none, nothing is swapped, and nobody asks
        return get_chip(self.chip or DEFAULT_CHIP).with_activation(self.target.activation)

    @contextmanager
    def aimed_at(self, chip: str | None, activation: str | None = None) -> Iterator[None]:
        """Build models for `chip` within the block, with `activation` unless one is fixed."""
        before = self.target
        self.target = replace(before, chip=chip, activation=before.activation or activation)
        try:
            yield
        finally:
            self.target = before


def resolve(reference: str) -> Any:
    """What ``"module:name"`` names; the module is imported for it."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(MOVED.get(module, module)), name)
