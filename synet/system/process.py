"""A process that is left as it was by code that changes more than it should.

Importing a YOLO sets print options and thread counts, rewrites the environment, adds handlers and
puts functions of its own into other people's modules. `unchanged` takes all of that back.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from synet.system.borrowed import print_options

Restore = Callable[[], None]

# Is a module of that name one whose changes to others are to be taken back?
Culprit = Callable[[str], bool]
_NAMES = (
    *((sys, name) for name in ("excepthook", "displayhook", "unraisablehook", "stdout", "stderr")),
    (threading, "excepthook"),
    (logging.root.manager, "disable"),
)


@contextmanager
def unchanged(culprit: Culprit) -> Iterator[None]:
    """Leave the process as it was before the block, but for modules that were imported in it.

    What comes back: arguments, import paths, the environment, the working directory, warning
    filters, loggers, and the options of numpy, torch, OpenCV, pandas and matplotlib where they were
    loaded before. Of other modules what the culprits have put there: import hooks, functions and
    classes. What another library does while it is imported, it may need.

    Parameters
    ----------
    culprit
        Asked for names of modules, at the end.
    """
    with ExitStack() as stack, warnings.catch_warnings():
        for keep in (_lists, _names, _environment, _loggers, _handlers, _options):
            stack.callback(keep())
        stack.callback(_hooks(), culprit)
        stack.callback(_functions(), culprit)
        yield


def _lists() -> Restore:
    kept = [(name, getattr(sys, name), [*getattr(sys, name)]) for name in ("argv", "path")]

    def restore() -> None:
        for name, value, content in kept:
            value[:] = content
            setattr(sys, name, value)

    return restore


def _hooks() -> Callable[[Culprit], None]:
    kept = [[*hooks] for hooks in (sys.meta_path, sys.path_hooks)]

    def restore(culprit: Culprit) -> None:
        for hooks, before in zip((sys.meta_path, sys.path_hooks), kept, strict=True):
            new = [hook for hook in hooks if hook not in before and not culprit(_home(hook))]
            hooks[:] = [*before, *new]

    return restore


def _names() -> Restore:
    kept = [(owner, name, getattr(owner, name)) for owner, name in _NAMES]

    def restore() -> None:
        for owner, name, value in kept:
            setattr(owner, name, value)

    return restore


def _environment() -> Restore:
    variables, folder = dict(os.environ), os.getcwd()

    def restore() -> None:
        os.chdir(folder)
        for name in os.environ.keys() - variables:
            del os.environ[name]
        for name, value in variables.items():
            if os.environ.get(name) != value:  # setting one is a call into the C library
                os.environ[name] = value

    return restore


def _handlers() -> Restore:
    """Keep the handlers of logs from ``logging.config``, which both YOLOs call when imported.

    It closes all that there are in the process: a user's file would be written to no more.
    """
    own: Any = logging  # which keeps both lists to itself
    known, by_name = own._handlerList[:], dict(own._handlers)
    own._handlerList.clear()
    own._handlers.clear()

    def restore() -> None:
        own._handlerList[:0] = known
        own._handlers.update(by_name)

    return restore


def _loggers() -> Restore:
    def known() -> list[logging.Logger]:
        named = logging.root.manager.loggerDict.values()
        return [logging.root, *(each for each in named if isinstance(each, logging.Logger))]

    kept = [(e, e.level, e.disabled, e.propagate, [*e.handlers], [*e.filters]) for e in known()]

    def restore() -> None:
        for logger, level, logger.disabled, logger.propagate, handlers, filters in kept:
            logger.handlers[:], logger.filters[:] = handlers, filters
            if logger.level != level:
                logger.setLevel(level)

    return restore


def _options() -> Restore:
    """What libraries that are loaded have been told, each by the function that tells it."""
    restores = [keep(sys.modules[name]) for name, keep in _OPTIONS.items() if name in sys.modules]

    def restore() -> None:
        for each in restores:
            each()

    return restore


def _numpy(np: types.ModuleType) -> Restore:
    printing, errors = np.get_printoptions(), np.geterr()
    return lambda: (np.set_printoptions(**printing), np.seterr(**errors))


def _torch(torch: types.ModuleType) -> Restore:
    printing = print_options()
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in ("benchmark", "deterministic", "enabled")}
    exact = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()

    def restore() -> None:
        torch.set_printoptions(**printing)
        torch.set_default_dtype(kind)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        for name, value in flags.items():
            setattr(cudnn, name, value)
        if torch.are_deterministic_algorithms_enabled() != exact:
            torch.use_deterministic_algorithms(exact, warn_only=warns)  # loads a second of modules

    return restore


def _cv2(cv2: types.ModuleType) -> Restore:
    threads = cv2.getNumThreads()
    return lambda: cv2.setNumThreads(threads)


def _pandas(pandas: types.ModuleType) -> Restore:
    columns, width = pandas.get_option("display.max_columns"), pandas.get_option("display.width")
    return lambda: pandas.set_option("display.max_columns", columns, "display.width", width)


def _matplotlib(matplotlib: types.ModuleType) -> Restore:
    # The backend is resolved, and maybe a window opened, by whoever asks rcParams for it.
    settings = {k: v for k, v in dict.items(matplotlib.rcParams) if not k.startswith("backend")}
    backend = dict.__getitem__(matplotlib.rcParams, "backend")

    def restore() -> None:
        dict.update(matplotlib.rcParams, {**settings, "backend": backend})

    return restore


_OPTIONS = {
    "numpy": _numpy,
    "torch": _torch,
    "cv2": _cv2,
    "pandas": _pandas,
    "matplotlib": _matplotlib,
}


def _functions() -> Callable[[Culprit], None]:
    """Functions and classes of the modules that are here, under each name that holds one."""
    kept = [(names, dict(names)) for names in map(names_of, [*sys.modules.values()]) if names]

    def restore(culprit: Culprit) -> None:
        for names, before in kept:
            for name, value in list(names.items()):
                if before.get(name) is value or not _is_defined(value):
                    continue
                if not culprit(_home(value)) or culprit(names.get("__name__", "")):
                    continue
                if name in before:
                    names[name] = before[name]
                else:
                    del names[name]

    return restore


def _is_defined(value: Any) -> bool:
    """Is that a function, not a wrapper that passes for one, or a class?"""
    return type(value) is types.FunctionType or issubclass(type(value), type)


def _home(value: Any) -> str:
    """The module that defines a function, a class, or the class of anything else.

    A function knows where its code is from, whatever it passes itself off as.
    """
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__"))
    cls = value if isinstance(value, type) else type(value)
    return str(cls.__module__)


# That of modules themselves: a lazy module, or one of a class of its own, answers in its own way.
_namespace_of = vars(types.ModuleType)["__dict__"].__get__


def names_of(module: Any) -> dict[str, Any]:
    """The names of what lies in ``sys.modules``, without running code of it; maybe empty.

    Anything lies there: None, lazy modules, and what only says that it is a module, as the
    libraries do that cffi binds for ``cryptography``.
    """
    return (_namespace_of(module) or {}) if issubclass(type(module), types.ModuleType) else {}
