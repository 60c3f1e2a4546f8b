"""The two lines at the top of a fork's ``train.py``::

    from synet.custom_patches import patch_custom

    patch_custom("katana")

They may stand before or after the fork's own imports.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import wrapt

from synet.errors import PatchError, SynetError
from synet.patches.engine import Applied, Family, Fork, Patching, Wrap, script_root
from synet.run import patching_variables
from synet.system.text import printable

_lock = threading.RLock()
_active: Patching | None = None


def patch_custom(
    chip: str | None,
    *,
    roots: Iterable[str | Path] = (),
    repairs: bool = True,
    families: Iterable[Family] = (),
    fixed: bool = True,
) -> Patching:
    """Make every YOLO of this process build layers that `chip` runs, now and when imported later.

    Forks are found by what their modules define. Their ``Conv`` and ``Detect`` are swapped,
    ``--cfg`` learns the names of the zoo, checkpoints are loaded without running code from
    them, and what today's libraries broke in old code is repaired. Python processes that are
    started from now on patch themselves alike. Twice is harmless.

    Parameters
    ----------
    chip
        Name of a chip, e.g. ``"katana"``. None repairs, and leaves the layers as they are.
    roots
        Folders of forks, beside that of the script which is running.
    repairs
        False leaves old code as it is.
    families
        How forks are patched that SyNet does not recognise by itself, before those that it
        does; see `synet.patches.custom_template`.
    fixed
        False: a model whose yaml names another chip is built for that one, rather than refused,
        and a patch that is in place already stays as it is.

    Raises
    ------
    ChipError
        There is no such chip.
    PatchError
        Another chip is patched already, or a fork lacks what the patch needs.
    """
    from synet.chips import get_chip

    global _active
    name = get_chip(chip).name if chip else None
    import torch  # noqa: F401 - a process that was told to patch itself does so now, if not before

    with _lock:
        roots = tuple(Path(root).resolve() for root in roots)
        if _active is None:
            _active = _start(name, roots, repairs, fixed)
        elif _active.chip != name and (None in (_active.chip, name) or fixed and _active.fixed):
            raise PatchError(
                f"already patched for {_active.chip or 'repairs alone'}; call unpatch() before "
                f"patching for {name or 'repairs alone'}"
            )
        elif fixed and not _active.fixed:
            _active.aim(name)
            _tell_children(_active, roots, repairs)
        _active.learn(families, roots)
        return _active


def unpatch() -> None:
    """Put back every object that `patch_custom` displaced. Harmless where nothing is patched."""
    global _active
    with _lock:
        if _active is not None:
            _active.stop()
            _active = None


def executed(module: ModuleType) -> None:
    """Look at a module of which a part had run when the patch came. For `synet.startup`."""
    if _active is not None:
        _active.executed(module)


def _tell_children(patching: Patching, roots: tuple[Path, ...], repairs: bool) -> None:
    """Have the processes that this one starts patch themselves alike."""
    variables = patching_variables(patching.chip, roots, repairs, patching.fixed)
    for name, value in variables.items():
        patching.applied.bind_item(os.environ, name, value)


def _start(chip: str | None, roots: tuple[Path, ...], repairs: bool, fixed: bool) -> Patching:
    from synet import ranks
    from synet.patches import compat, fork_repairs, launch, ultralytics, yolov5
    from synet.patches.absent import tolerate_absent_packages
    from synet.patches.arguments import completed
    from synet.patches.rectangles import Rectangles

    script = script_root()
    roots = (*roots, *([script] if script else []))
    rectangles = Rectangles(exact=chip is not None)
    mended = (
        Wrap(function, lambda _, wrapper=repair.wrapper: wrapper)
        for repair in (fork_repairs.FORK_REPAIRS if repairs else ())
        for function in repair.functions
    )
    functions = (*mended, *rectangles.wraps)
    families = (ultralytics.FAMILY, yolov5.FAMILY)
    if not chip:
        stock = {"swaps": (), "additions": {}, "parse_model": _as_it_is, "model_init": _as_it_is}
        families = tuple(replace(family, **stock) for family in families)
    patching = Patching(chip, families, roots, functions, fixed)
    applied = patching.applied
    started = Path(sys.argv[0]).resolve()  # of a command of ours it is no fork's
    home = script or next((root for root in roots if started.is_relative_to(root)), None)
    arguments = completed(sys.argv[1:], home if repairs else None)
    try:
        if repairs:
            compat.apply_library_repairs(applied)
            tolerate_absent_packages(applied, patching.roots_of_forks)
        _wrap_torch_load(applied, patching)
        applied.bind(sys, "excepthook", _one_line(sys.excepthook))
        applied.bind(sys, "argv", [*sys.argv[:1], *arguments])
        _tell_children(patching, roots, repairs)
        rectangles.apply(applied)
        launch.apply(applied)
        if chip:
            ranks.watch_ranks(applied, lambda: patching.chip)
        patching.start()
    except BaseException:
        patching.stop()
        raise
    return patching


def _wrap_torch_load(applied: Applied, patching: Patching) -> None:
    """Wrap ``torch.load``, also under the names by which modules that are here keep torch's own.

    Some forks put a function of theirs in its place, which calls what they kept.
    """
    import torch

    def wrapper(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        from synet.checkpoint import safe_load  # it may be what imports torch, while this runs
        from synet.patches.data_downloads import with_local_data

        roots = patching.roots_of_forks
        return with_local_data(safe_load(roots)(wrapped, instance, args, kwargs), roots())

    kept = torch.serialization.load
    if torch.load is not kept:
        applied.bind(torch, "load", wrapt.FunctionWrapper(torch.load, wrapper), "wrap")
    wrapped = wrapt.FunctionWrapper(kept, wrapper)
    for module in [m for m in list(sys.modules.values()) if isinstance(m, ModuleType)]:
        names = object.__getattribute__(module, "__dict__")  # a lazy module must not be asked
        for name in [name for name, value in list(names.items()) if value is kept]:
            applied.bind(module, name, wrapped, "wrap")


def _as_it_is(fork: Fork) -> Callable:
    return lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs)


def _one_line(excepthook: Any) -> Any:
    """An excepthook that tells the user of a fork about mistakes as the command line does."""

    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if isinstance(error, SynetError):
            # the stream itself: a rank's hook of torch collects sys.stderr, and drops it on exit
            sys.__stderr__.write(f"synet: {printable(error)}\n")
            raise SystemExit(error.exit_status)
        else:
            excepthook(kind, error, traceback)

    return hook
