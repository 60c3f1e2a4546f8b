"""Swapping names in a fork of a YOLO, and putting the very same objects back.

A YOLO family is *declared*: which classes of the module that holds ``parse_model`` give
way to which of ours (`Swap`), and which functions are wrapped (`Wrap`). This module
finds the forks in the process that fit a declaration, applies it to every module of
such a fork, and writes down what it displaced, so that undoing needs no second list.

A fork is recognised by what its modules *have*, wherever they lie and whatever they are
called: an import hook looks at every module that has just executed, and
modules that were imported earlier are looked at once.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import logging
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import wrapt

from synet.patches.discovery import holds_builder
from synet.system.errors import PatchError
from synet.system.files import lies_within
from synet.system.import_order import triton_before_tensorflow
from synet.system.process import names_of

LOGGER = logging.getLogger("synet")
ABSENT = object()
DEFAULT_CHIP = "katana"


@dataclass(frozen=True)
class Change:
    """One displaced name, for people: ``models.common.Conv`` gave way to ``synet...Conv``."""

    where: str
    kind: str
    old: str
    new: str


class Applied:
    """What has been displaced so far, and the way back: undo is what apply wrote down."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.changes: list[Change] = []

    def __bool__(self) -> bool:
        return bool(self._undo)

    def bind(self, owner: Any, name: str, new: Any, kind: str = "set") -> None:
        """Set attribute `name` of a module or class, remembering what stood there."""
        old = vars(owner).get(name, ABSENT)  # vars(): never copy an inherited method down
        setattr(owner, name, new)
        self._undo.append(
            (lambda: delattr(owner, name)) if old is ABSENT else (lambda: setattr(owner, name, old))
        )
        shown = "" if old is ABSENT else _title(old)
        self.changes.append(Change(f"{_title(owner)}.{name}", kind, shown, _title(new)))

    def bind_item(self, mapping: MutableMapping, key: Any, new: Any) -> None:
        """Set an item of a mapping (``os.environ``, ``sys.modules``), remembering the old one."""
        old = mapping.get(key, ABSENT)
        mapping[key] = new
        self._undo.append(
            (lambda: mapping.pop(key, None))
            if old is ABSENT
            else (lambda: mapping.__setitem__(key, old))
        )

    def rebase(self, cls: type, old: type, new: type) -> None:
        """Make `cls`, a subclass of `old`, a subclass of `new` instead."""
        bases = cls.__bases__
        cls.__bases__ = tuple(new if base is old else base for base in bases)
        self._undo.append(lambda: setattr(cls, "__bases__", bases))
        self.changes.append(Change(_title(cls), "rebase", _title(old), _title(new)))

    def on_undo(self, callback: Callable[[], None]) -> None:
        """Call `callback` when everything applied after this point has been undone."""
        self._undo.append(callback)

    def undo(self) -> None:
        """Unwind, newest first. Twice is harmless: the stack is empty."""
        while self._undo:
            self._undo.pop()()
        self.changes.clear()


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
            and (not self.beside or any(_defines(owner, n) for n in self.beside - {self.name}))
        )

    def wrapper(self, fork: Fork | None) -> Callable:
        """The wrapper for a function of `fork`."""
        return (_resolve(self.factory) if isinstance(self.factory, str) else self.factory)(fork)


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


# What YOLOs have in the module of their checks, whatever that is called.
CHECKS = frozenset(
    ("check_file", "check_yaml", "check_dataset", "check_img_size", "check_imgsz")
    + ("check_requirements", "check_git_status")
)
_FORWARDS = ("forward", "forward_fuse", "fuseforward")
# In the source of a module that imports our layers itself.
_TAKES_OURS = re.compile(rb"synet\.(layers|katana|sabre|saber)\b|from synet import")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Building:
    """A model that is being built.

    Parameters
    ----------
    path
        Its yaml file; empty where it is from none.
    model
        Its class.
    notes
        What took the place of layers that the chip does not run, for people.
    """

    path: str
    model: type
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Fork:
    """One patched builder: the module that defines ``parse_model``, and where its fork lies.

    `chip` is that of the models that it builds now; where it is not `fixed`, a model whose yaml
    names another chip is built for that. `weights` is the checkpoint that the command line has the
    training start from, if it does.
    """

    builder: ModuleType
    root: Path
    family: Family
    chip: str | None
    fixed: bool = True
    weights: str = ""
    # What this fork calls the classes that were swapped, by the name YOLO has for them.
    called: dict[str, str] = field(default_factory=dict)
    building: list[Building] = field(default_factory=list)  # innermost last

    @property
    def names(self) -> Mapping[str, Any]:
        """What the builder's ``eval`` sees."""
        return vars(self.builder)

    @contextmanager
    def made_for(self, chip: str | None) -> Iterator[None]:
        """Build models for `chip` within the block."""
        before, self.chip = self.chip, chip
        try:
            yield
        finally:
            self.chip = before


class Patching:
    """A patch that is in place: its hook, its forks, and the way back.

    Parameters
    ----------
    chip
        Name of a chip file; None repairs, and leaves the layers as they are.
    fixed
        Are models for any other chip refused?
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
        chip: str | None,
        families: tuple[Family, ...],
        roots: tuple[Path, ...] = (),
        functions: tuple[Wrap, ...] = (),
        fixed: bool = True,
        weights: str = "",
    ) -> None:
        self.chip = chip
        self.fixed = fixed
        self.weights = weights
        self.families = families
        self.roots = list(roots)
        self.functions = functions
        self.forks: list[Fork] = []
        self.unrecognised: list[tuple[str, str]] = []
        self.unreached: list[str] = []
        self.applied = Applied()

    def start(self) -> None:
        """Patch what is imported, and whatever will be. All of it, or, on an error, nothing."""
        try:
            hook = _ImportHook(self.executed)
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

    def aim(self, chip: str | None) -> None:
        """Build for `chip` from now on, and for no other."""
        for each in (self, *self.forks):
            each.chip, each.fixed = chip, True

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
            function = _defined(module, builder)
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
        fork = family and Fork(module, root, family, self.chip, self.fixed, self.weights)
        missing = _missing(fork) if fork else [f"{function.__name__} of a definition and channels"]
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
        apply, modules = self.applied, self._modules()
        for swap in fork.family.swaps:
            if swap.name not in fork.called:
                continue
            old, new = fork.names[fork.called[swap.name]], _resolve(swap.new)
            if issubclass(old, new):  # from a module of the same fork that is swapped already
                continue
            if hasattr(new, "in_place_of"):  # it is called as the old one was
                new = new.in_place_of(old)
            self._rebind(old, new, "swap", modules, fork)
            for cls in [cls for other in modules for cls in _classes(other)]:
                if old in cls.__bases__:
                    apply.rebase(cls, old, new)
            self._note_unreached(old, modules)
        for name, reference in fork.family.additions.items():
            apply.bind(fork.builder, name, _resolve(reference), "add")
        wrapper = wrapt.FunctionWrapper(function, fork.family.parse_model(fork))
        self._rebind(function, wrapper, "wrap", modules)
        for cls in models_of(fork):
            wrapper = wrapt.FunctionWrapper(vars(cls)["__init__"], fork.family.model_init(fork))
            apply.bind(cls, "__init__", wrapper, "wrap")
        for other in modules:
            if self._is_forks(file_of(other)):
                self._wrap_functions(other, fork, modules)

    def _note_unreached(self, old: type, modules: list[ModuleType]) -> None:
        """Say where in a fork a swapped class is held by something else than a name."""
        found: dict[int, str] = {}
        for module in reversed(modules):  # what is imported stands behind who imports it
            for place, holder in _holders(module, old):
                found.setdefault(id(holder), f"{_title(module)}.{place}")
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
            function = None if owner else _defined(module, name)
            if function is not None and wrap.fits(function, module):
                wrapper = wrapt.FunctionWrapper(function, wrap.wrapper(fork))
                self._rebind(function, wrapper, "wrap", modules or self._modules())
            for cls in _classes(module):
                method = vars(cls).get(name) if owner in ("", cls.__name__) else None
                if type(method) is FunctionType and wrap.fits(method, cls):
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
            derived = [cls for cls in _classes(module) if fork and new in cls.__bases__]
            if (held or derived) and not (fork and _TAKES_OURS.search(file.read_bytes())):
                names.update(dict.fromkeys(held, old))
                for cls in derived:
                    cls.__bases__ = tuple(old if base is new else base for base in cls.__bases__)

    def _modules(self) -> list[ModuleType]:
        return modules_below(*self.roots_of_forks())


def settle(model: Any) -> None:
    """Have a model run as it was built after the patch is undone.

    A class of the fork that was derived from a swapped one gets its own base back, and with it
    another way to run what ours has built.
    """
    for module in model.modules():
        line = type(module).__mro__
        if _is_ours(line[0]) or not any(map(_is_ours, line)):
            continue
        for name in _FORWARDS:
            definer = next((cls for cls in line if name in vars(cls)), None)
            if definer is not None and _is_ours(definer):
                vars(module)[name] = MethodType(vars(definer)[name], module)


class _ImportHook(importlib.abc.MetaPathFinder):
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


def _missing(fork: Fork) -> list[str]:
    """What a builder's module lacks; what it has is noted in ``fork.called``."""
    missing = []
    for swap in fork.family.swaps:
        name = _called(fork, swap)
        if name is not None:
            fork.called[swap.name] = name
        elif swap.required:
            missing.append(swap.called or swap.name)
    if not models_of(fork):
        missing.append(f"a Model class that calls {fork.family.builder}")
    return missing


def _called(fork: Fork, swap: Swap) -> str | None:
    """What the fork calls the class that `swap` is about; None where it may not be swapped."""
    name = swap.called or swap.name
    if _is_class(fork.names.get(name)):
        fits = not swap.when or _resolve(swap.when)(fork.names[name], _resolve(swap.new))
        return name if fits else None
    like = _resolve(swap.like) if swap.like else lambda _: False
    classes = {n: value for n, value in fork.names.items() if _is_class(value)}
    return next((name for name, value in classes.items() if like(value)), None)


def models_of(fork: Fork) -> list[type]:
    """Classes of the builder's module that build their layers with it, maybe through a helper."""
    functions = [v for v in fork.names.values() if type(v) is FunctionType]
    builders = {fork.family.builder}
    while (
        more := {
            f.__name__
            for f in functions
            if f.__module__ == fork.builder.__name__ and builders & {*f.__code__.co_names}
        }
        - builders
    ):
        builders |= more
    return [cls for cls in _classes(fork.builder) if _calls(cls, builders)]


def _holders(module: ModuleType, value: Any) -> Iterator[tuple[str, Any]]:
    """Places other than names in which a module holds `value`: tables, defaults, attributes."""
    for name, held in names_of(module).items():
        if name.startswith("__"):
            continue
        kind = type(held)
        if issubclass(kind, (list, tuple, set, frozenset)) and any(v is value for v in held):
            yield name, held
        elif issubclass(kind, dict) and any(v is value for v in held.values()):
            yield name, held
        elif kind is FunctionType and any(v is value for v in held.__defaults__ or ()):
            yield f"{name}(), a default", held
        elif _is_class(held) and held.__module__ == module.__name__:
            yield from ((f"{name}.{key}", held) for key, v in vars(held).items() if v is value)


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


def _defined(module: ModuleType, name: str) -> FunctionType | None:
    """The function `name` that `module` itself defines, unless it is wrapped already."""
    value = names_of(module).get(name)
    # type(), as a wrapt proxy passes isinstance() for what it wraps
    own = type(value) is FunctionType and value.__module__ == names_of(module).get("__name__")
    return value if own else None


def _defines(owner: ModuleType | type, name: str) -> bool:
    """Does a module, or a class, define `name` itself?"""
    if isinstance(owner, type):
        return name in vars(owner)
    return getattr(names_of(owner).get(name), "__module__", None) == owner.__name__


def _classes(module: ModuleType) -> Iterator[type]:
    """Classes that `module` itself defines, each once, whatever aliases it has."""
    names = names_of(module)
    for value in dict.fromkeys(v for v in names.values() if _is_class(v)):
        if value.__module__ == names.get("__name__"):
            yield value


def _is_class(value: Any) -> bool:
    return issubclass(type(value), type)  # isinstance() asks the object, which may raise


def _calls(cls: type, names: set[str]) -> bool:
    kinds = (FunctionType, wrapt.FunctionWrapper)  # as they are before a patch, and in one
    methods = [value for value in vars(cls).values() if type(value) in kinds]
    return "__init__" in vars(cls) and any(names & {*m.__code__.co_names} for m in methods)


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("synet.")


def _resolve(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _title(value: Any) -> str:
    if isinstance(value, wrapt.FunctionWrapper):
        value = value._self_wrapper  # ours, rather than the function that it passes for
    if isinstance(value, ModuleType):
        return value.__name__
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    return f"{module}.{name.partition('.<locals>')[0]}" if module and name else str(value)
