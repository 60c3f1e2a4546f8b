"""A fork in a process that stays patched, as that of a training script is."""

from __future__ import annotations

import importlib
from pathlib import Path

from synet.custom_patches import patch_custom
from synet.models.forks import quiet
from synet.models.locate import importable_builders
from synet.patches.declaration import Fork


def patched_fork(root: Path, chip: str) -> Fork:
    """Patch the process, until `unpatch`, and import the builder of a fork."""
    patching = patch_custom(chip, roots=[root], fixed=False)
    for name, builder in importable_builders(root, patching.families).items():
        if builder.fits:
            with quiet():
                importlib.import_module(name)
    return next(fork for fork in patching.forks if root in Path(fork.module.__file__).parents)
