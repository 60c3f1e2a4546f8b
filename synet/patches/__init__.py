"""Swapping chip-safe layers into a YOLO: what is swapped, and how; see `synet.patches.process`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synet.patches.engine import Patching


def patch_ultralytics(
    chip: str | None = None,
    *,
    roots: Iterable[str | Path] = (),
    activation: str | None = None,
    teacher: str | Path | None = None,
) -> Patching:
    """Patch ultralytics, or a fork of it, in the script that imports it, before or after this.

    ::

        from synet.patches import patch_ultralytics
        from ultralytics import YOLO

        patch_ultralytics()
        YOLO("sabre-detect-qvga.yaml").train(data="my.yaml")

    Parameters
    ----------
    chip
        Models are built for this one alone. Default: each for the chip that its yaml names,
        and for Sabre where it names none.
    roots
        Folders of forks that lie elsewhere than the script.
    activation
        As for `synet.patch_custom`.
    teacher
        Checkpoint of a trained network of the same classes, which teaches what is trained in this
        process.

    Raises
    ------
    ChipError
        There is no such chip, or it has no such activation.
    CheckpointError
        The teacher is no checkpoint.
    PatchError
        Another chip is patched already, or another teacher.

    Examples
    --------
    >>> from synet.patches import patch_ultralytics
    >>> patch_ultralytics("sabre").chip
    'sabre'
    >>> synet.unpatch()
    """
    from synet.patches.process import patch
    from synet.patches.target import only_or_own
    from synet.patches.ultralytics import FAMILY

    target = only_or_own(chip, FAMILY.chip, activation)
    return patch(target, roots=roots, teacher=teacher)
