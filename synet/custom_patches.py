"""The two lines at the top of a fork's ``train.py``::

    from synet.custom_patches import patch_custom

    patch_custom("katana")

They may stand before or after the fork's own imports.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wrapt

from synet.errors import PatchError, SynetError
from synet.patches.engine import Patching, Wrap, script_root

_lock = threading.RLock()
_active: Patching | None = None


def patch_custom(chip: str, *, roots: Iterable[str | Path] = (), repairs: bool = True) -> Patching:
    """Make every YOLO of this process build layers that `chip` runs, now and when imported later.

    Forks are found by what their modules define. Their ``Conv`` and ``Detect`` are swapped,
    ``--cfg`` learns the names of the zoo, checkpoints are loaded without running code from
    them, and what today's libraries broke in old code is repaired. Twice is harmless.

    Parameters
    ----------
    chip
        Name of a chip, e.g. ``"katana"``.
    roots
        Folders of forks, beside that of the script which is running.
    repairs
        False leaves old code as it is.

    Raises
    ------
    ChipError
        There is no such chip.
    PatchError
        Another chip is patched already, or a fork lacks what the patch needs.
    """
    from synet.chips import get_chip

    global _active
    name = get_chip(chip).name
    with _lock:
        if _active is not None and _active.chip != name:
            raise PatchError(
                f"already patched for {_active.chip}; call unpatch() before patching for {name}"
            )
        if _active is None:
            _active = _start(name, tuple(Path(root).resolve() for root in roots), repairs)
        return _active


def unpatch() -> None:
    """Put back every object that `patch_custom` displaced. Harmless where nothing is patched."""
    global _active
    with _lock:
        if _active is not None:
            _active.stop()
            _active = None


def _start(chip: str, roots: tuple[Path, ...], repairs: bool) -> Patching:
    import torch

    from synet.checkpoint import safe_load
    from synet.patches import compat, yolov5
    from synet.patches.arguments import completed

    script = script_root()
    roots = (*roots, *([script] if script else []))
    functions = tuple(
        Wrap(repair.function, lambda _, wrapper=repair.wrapper: wrapper)
        for repair in (compat.FORK_REPAIRS if repairs else ())
    )
    patching = Patching(chip, (yolov5.FAMILY,), roots, functions)
    applied = patching.applied
    try:
        if repairs:
            compat.apply_library_repairs(applied)
        load = wrapt.FunctionWrapper(torch.load, safe_load(patching.roots_of_forks))
        applied.bind(torch, "load", load, "wrap")
        applied.bind(sys, "excepthook", _one_line(sys.excepthook))
        applied.bind(sys, "argv", [*sys.argv[:1], *completed(sys.argv[1:])])
        patching.start()
    except BaseException:
        patching.stop()
        raise
    return patching


def _one_line(excepthook: Any) -> Any:
    """An excepthook that tells the user of a fork about mistakes as the command line does."""

    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if isinstance(error, SynetError):
            print(f"synet: {error}", file=sys.stderr)
            raise SystemExit(error.exit_status)
        else:
            excepthook(kind, error, traceback)

    return hook
