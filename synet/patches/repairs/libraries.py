"""Repairs that let YOLO code of other years run on today's torch, numpy, Pillow and matplotlib.

Each is applied only where this process needs it, and says which error it answers and what
brought it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from synet.patches.repairs.matplotlib import MATPLOTLIB_REPAIRS
from synet.patches.repairs.numpy import NUMPY_REPAIRS
from synet.patches.repairs.pillow import PILLOW_REPAIRS
from synet.patches.repairs.repair import LibraryRepair, Repair
from synet.patches.repairs.stand_in_modules import STAND_INS
from synet.patches.repairs.torch import TORCH_REPAIRS

if TYPE_CHECKING:
    from synet.patches.undo import Applied

AUTOINSTALL = ("YOLO_AUTOINSTALL", "YOLOv5_AUTOINSTALL")


def apply_library_repairs(applied: Applied) -> list[LibraryRepair]:
    """Apply each repair that this process needs; return those."""
    needed = [repair for repair in LIBRARY_REPAIRS if repair.needed()]
    for repair in needed:
        repair.apply(applied)
    return needed


def _installing_is_on() -> bool:
    return any(os.environ.get(name, "true").lower() in ("true", "1") for name in AUTOINSTALL)


def _stop_installing(applied: Applied) -> None:
    for name in AUTOINSTALL:
        applied.bind_item(os.environ, name, "false")
    for name in ("ultralytics.utils", "ultralytics.utils.checks"):
        module = sys.modules.get(name)
        if hasattr(module, "AUTOINSTALL"):  # it has read the variable already
            applied.bind(module, "AUTOINSTALL", False)


LIBRARY_REPAIRS = (
    *NUMPY_REPAIRS,
    *PILLOW_REPAIRS,
    LibraryRepair(
        name="autoinstall",
        error="pip install in the middle of training, by ultralytics' check_requirements",
        since="ultralytics 8.0",
        needed=_installing_is_on,
        apply=_stop_installing,
    ),
    *STAND_INS,
    *MATPLOTLIB_REPAIRS,
    *TORCH_REPAIRS,
)

# What is put right by other modules, whose first purpose it is.
OTHER_REPAIRS = (
    Repair(
        name="torch_load",  # synet.checkpoints.read
        error="UnpicklingError: Weights only load failed, after the last epoch",
        since="torch 2.6",
    ),
    Repair(
        name="triton_first",  # synet.system.import_order
        error="LLVM ERROR: inconsistency in registered CommandLine options, exit status 134",
        since="tensorflow or tensorboard imported before triton",
    ),
    Repair(
        name="data_path",  # synet.patches.command_line, synet.patches.yolov5
        error="Dataset not found: the fork does not know the key path of a data yaml",
        since="forks of YOLOv5 before v6.0",
    ),
    Repair(
        name="absent_packages",  # synet.patches.repairs.absent_packages
        error="ModuleNotFoundError for a package that only other models of the fork need",
        since="whatever the fork imports",
    ),
)
