"""Patching this process, and no other: for good, or while a network is built."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import wrapt

from synet.patches.child_processes import patching_variables
from synet.patches.declaration import Family, Fork, Wrap
from synet.patches.engine import Patching
from synet.patches.guests import Guests, home_of, visiting
from synet.patches.places import script_root, within
from synet.patches.target import REPAIRS_ALONE, Target, only, own
from synet.patches.undo import Applied
from synet.system.errors import PatchError, SynetError
from synet.system.process import names_of, unchanged

PACKAGES = ("ultralytics", "yolov5")  # that change a process when they import each other

_lock = threading.RLock()
_active: Patching | None = None


def patch_custom(
    chip: str | None,
    *,
    roots: Iterable[str | Path] = (),
    repairs: bool = True,
    families: Iterable[Family] = (),
    fixed: bool = True,
    activation: str | None = None,
    teacher: str | Path | None = None,
) -> Patching:
    """Make every YOLO of this process build layers that `chip` runs, now and when imported later.

    Forks are found by what their modules define. Their ``Conv`` and ``Detect`` are swapped,
    ``--cfg`` learns the names of the zoo, checkpoints are loaded without running code from
    them, and what today's libraries broke in old code is repaired. Python processes that are
    started from now on patch themselves alike. Twice is harmless.

    Parameters
    ----------
    chip
        Name of a chip, e.g. ``"katana"``. None repairs alone, and leaves the layers as they are.
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
    activation
        The one that networks are built with: ``"relu6"``, or what else the chip has, such as
        ``"silu"`` on Sabre. Default: the model's own, else what the chip's file calls best.
    teacher
        Checkpoint of a trained network of the same classes, which teaches what is trained in this
        process, in the fork's own loop.

    Raises
    ------
    ChipError
        There is no such chip, or it has no such activation.
    CheckpointError
        The teacher is no checkpoint.
    PatchError
        Another chip is patched already, or another teacher; or a fork lacks what the patch needs.

    Examples
    --------
    >>> patching = synet.patch_custom("katana")
    >>> patching.chip
    'katana'
    >>> synet.unpatch()
    """
    aim = only if fixed else own
    target = REPAIRS_ALONE if chip is None else aim(chip, activation)
    return patch(target, roots=roots, repairs=repairs, families=families, teacher=teacher)


def patch(
    target: Target,
    *,
    roots: Iterable[str | Path] = (),
    repairs: bool = True,
    families: Iterable[Family] = (),
    teacher: str | Path | None = None,
) -> Patching:
    """`patch_custom`, told by a `Target` what models are built for.

    Raises
    ------
    CheckpointError
        The teacher is no checkpoint.
    PatchError
        Another chip is patched already, or another teacher; or a fork lacks what the patch needs.
    """
    global _active
    import torch  # noqa: F401 - a process that was told to patch itself does so now, if not before

    with _lock:
        roots = tuple(Path(root).resolve() for root in roots)
        if teacher is not None:
            from synet.patches.teacher import checked

            teacher = checked(teacher)
        if _active is None:
            _active = _start(target, roots, repairs, teacher)
        elif _active.target.excludes(target):
            raise PatchError(
                f"already patched for {_active.target}; call unpatch() before patching for {target}"
            )
        elif teacher not in (None, _active.teacher):
            raise PatchError(
                f"already patched {f'with {_active.teacher}' if _active.teacher else 'without a'} "
                f"teacher; name {teacher} where the process is patched first"
            )
        elif target.fixed and not _active.target.fixed:
            _active.aim(target)
            _tell_children(_active, roots, repairs)
        _active.learn(families, roots)
        return _active


def unpatch() -> None:
    """Put back every object that `patch_custom` displaced. Harmless where nothing is patched.

    Examples
    --------
    >>> patching = synet.patch_custom("katana")
    >>> synet.unpatch()
    >>> synet.unpatch()
    """
    global _active
    with _lock:
        if _active is not None:
            _active.stop()
            _active = None


def executed(module: ModuleType) -> None:
    """Look at a module of which a part had run when the patch came. For `synet/patches/startup`."""
    if _active is not None:
        _active.executed(module)


def _tell_children(patching: Patching, roots: tuple[Path, ...], repairs: bool) -> None:
    """Have the processes that this one starts patch themselves alike."""
    variables = patching_variables(patching.target, roots, repairs, patching.teacher)
    for name, value in variables.items():
        patching.applied.bind_item(os.environ, name, value)


@contextmanager
def borrowed(
    root: Path | None,
    target: Target,
    declared: Callable[[], Iterable[Family]] = tuple,
) -> Iterator[tuple[Patching, Guests]]:
    """Patch while a fork's model is built, or read, and leave the process as it was.

    Down to its arguments and its environment: see `synet.system.process` and
    `synet.patches.guests`. Where it is patched already that patch serves, and stays.

    Parameters
    ----------
    root
        Folder of the fork, or of an installed package; None where no fork is needed.
    target
        What models are built for, in a process that is not patched yet.
    declared
        Tells how the fork is patched, where it says so itself.

    Raises
    ------
    PatchError
        The process is repaired, and not patched, as `target` wants it.
    """
    global _active
    roots = () if root is None else (root,)
    folders = [*roots]

    def of_a_fork(module: str) -> bool:
        if module.partition(".")[0] in PACKAGES:
            return True
        home = home_of(sys.modules.get(module))
        return any(within(home, folder) for folder in folders)

    with _lock, visiting(root) as guests, unchanged(of_a_fork):
        lasting = _active
        if lasting is not None and lasting.target == REPAIRS_ALONE != target:
            raise PatchError(f"already patched for {REPAIRS_ALONE}; call unpatch() before this")
        families = tuple(declared())
        patching = lasting or _patching(target, roots, fork_repairs=True)
        try:
            if lasting is None:
                _active = patching
                _mend_libraries(patching)
                patching.start()
            with patching.learning(families, roots):
                for module in guests.came:
                    patching.executed(module)
                yield patching, guests
        finally:
            folders += patching.roots_of_forks()
            if lasting is None:
                patching.stop()
            _active = lasting


def _start(
    target: Target, roots: tuple[Path, ...], repairs: bool, teacher: Path | None
) -> Patching:
    from synet.patches import ranks, ultralytics_ranks
    from synet.patches.command_line import completed, weights_of
    from synet.patches.rectangular_images import Rectangles

    script = script_root()
    roots = (*roots, *([script] if script else []))
    rectangles = Rectangles(exact=target != REPAIRS_ALONE)
    wraps = rectangles.wraps
    if teacher is not None:
        from synet.patches.teacher import Teaching

        teaching = Teaching(teacher, lambda: patching.roots_of_forks())
        wraps += teaching.wraps
    patching = _patching(target, roots, repairs, wraps, weights_of(sys.argv[1:]))
    patching.teacher = teacher
    applied = patching.applied
    started = Path(sys.argv[0]).resolve()  # of a command of ours it is no fork's
    home = script or next((root for root in roots if started.is_relative_to(root)), None)
    arguments = completed(sys.argv[1:], home if repairs else None)
    try:
        _mend_libraries(patching, repairs)
        applied.bind(sys, "excepthook", _one_line(sys.excepthook))
        applied.bind(sys, "argv", [*sys.argv[:1], *arguments])
        _tell_children(patching, roots, repairs)
        rectangles.apply(applied)
        ultralytics_ranks.apply(applied)
        if teacher is not None:
            teaching.apply(applied)
        if target != REPAIRS_ALONE:
            ranks.watch_ranks(applied, lambda: patching.chip)
        patching.start()
    except BaseException:
        patching.stop()
        raise
    return patching


def _patching(
    target: Target,
    roots: tuple[Path, ...],
    fork_repairs: bool,
    wraps: Iterable[Wrap] = (),
    weights: str = "",
) -> Patching:
    """What is patched in forks, of which nothing is in place yet."""
    from synet.patches.families import FAMILIES
    from synet.patches.repairs.fork_functions import FORK_REPAIRS

    mended = [wrap for repair in FORK_REPAIRS for wrap in repair.wraps] if fork_repairs else []
    families = FAMILIES
    if target == REPAIRS_ALONE:
        stock = {"swaps": (), "additions": {}, "parse_model": _as_it_is, "model_init": _as_it_is}
        families = tuple(replace(family, **stock) for family in families)
    return Patching(target, families, roots, (*mended, *wraps), weights)


def _mend_libraries(patching: Patching, repairs: bool = True) -> None:
    """Let old code find what it expects of others, and checkpoints run nothing."""
    from synet.patches.repairs import libraries
    from synet.patches.repairs.absent_packages import tolerate_absent_packages

    if repairs:
        libraries.apply_library_repairs(patching.applied)
        tolerate_absent_packages(patching.applied, patching.roots_of_forks)
    _wrap_torch_load(patching.applied, patching)


def _wrap_torch_load(applied: Applied, patching: Patching) -> None:
    """Wrap ``torch.load``, also under the names by which modules that are here keep torch's own.

    Some forks put a function of theirs in its place, which calls what they kept.
    """
    import torch

    def wrapper(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        from synet.checkpoints.read import (
            safe_load,  # it may be what imports torch, while this runs
        )
        from synet.patches.data_downloads import with_local_data
        from synet.patches.made_for import models_in, with_target_noted
        from synet.patches.run_folders import with_own_folder

        roots = patching.roots_of_forks
        own_class = patching.displaced.own_class
        content = safe_load(roots, own_class)(wrapped, instance, args, kwargs)
        for model in models_in(content):
            patching.displaced.run_as_trained(model)
        content = with_own_folder(content, args[0] if args else kwargs.get("f"))
        return with_target_noted(with_local_data(content, roots()))

    kept = torch.serialization.load
    if torch.load is not kept:
        applied.bind(torch, "load", wrapt.FunctionWrapper(torch.load, wrapper), "wrap")
    wrapped = wrapt.FunctionWrapper(kept, wrapper)
    for module in list(sys.modules.values()):
        names = names_of(module)
        for name in [name for name, value in list(names.items()) if value is kept]:
            applied.bind(module, name, wrapped, "wrap")


def _as_it_is(fork: Fork) -> Callable:
    return lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs)


def _one_line(excepthook: Any) -> Any:
    """An excepthook that tells the user of a fork about mistakes as the command line does."""

    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if isinstance(error, SynetError):
            # the stream itself: a rank's hook of torch collects sys.stderr, and drops it on exit
            sys.__stderr__.write(f"synet: {error.told}\n")
            raise SystemExit(error.exit_status)
        else:
            excepthook(kind, error, traceback)

    return hook
