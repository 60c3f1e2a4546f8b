"""Repairs that let YOLO code of other years run on today's torch, numpy, Pillow and matplotlib.

A `Repair` mends a library: a name that old code uses and that is gone, or does something
else. It is applied only where that is so. A `ForkRepair` wraps a function that forks share
by name. Each says which error it answers and what brought it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from synet.patches.repairs.stand_in_modules import is_provided, provide

if TYPE_CHECKING:
    from synet.patches.undo import Applied

LOGGER = logging.getLogger("synet")

AUTOINSTALL = ("YOLO_AUTOINSTALL", "YOLOv5_AUTOINSTALL")


@dataclass(frozen=True)
class Repair:
    """A library put right for old code.

    Parameters
    ----------
    name
        For people: ``np_trapz``.
    error
        What is seen without it.
    since
        The version that brought the error.
    needed
        Is the name missing or wrong in this process? Never where its library is not installed:
        SyNet does without Pillow and matplotlib.
    apply
        Puts it right, through an `Applied` that remembers what was there.
    """

    name: str
    error: str
    since: str
    needed: Callable[[], bool]
    apply: Callable[[Applied], None]


def apply_library_repairs(applied: Applied) -> list[Repair]:
    """Apply each repair that this process needs; return those."""
    needed = [repair for repair in LIBRARY_REPAIRS if repair.needed()]
    for repair in needed:
        repair.apply(applied)
    return needed


def _missing(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is None  # its import has been forbidden
    return importlib.util.find_spec(module) is None


# ------------------------------------------------------------------------------------- numpy

_NUMPY_ALIASES = {
    "int": int,
    "float": float,
    "bool": bool,
    "object": object,
    "str": str,
    "complex": complex,
    "float_": "float64",
    "unicode_": "str_",
    "Inf": "inf",
    "NaN": "nan",
    "product": "prod",
    "cumproduct": "cumprod",
    "alltrue": "all",
    "sometrue": "any",
    "in1d": "isin",
}


def _missing_aliases() -> dict[str, Any]:
    import numpy as np

    # vars(): asking numpy for a removed attribute can warn
    missing = {old: new for old, new in _NUMPY_ALIASES.items() if old not in vars(np)}
    return {old: getattr(np, new) if type(new) is str else new for old, new in missing.items()}


def _alias_numpy(applied: Applied) -> None:
    import numpy as np

    for name, value in _missing_aliases().items():
        applied.bind(np, name, value)


def _trapz_missing() -> bool:
    import numpy as np

    return "trapz" not in vars(np)


def _name_trapz(applied: Applied) -> None:
    import numpy as np

    applied.bind(np, "trapz", np.trapezoid)


def _numbers_and_text_do_not_mix() -> bool:
    import numpy as np

    try:
        np.concatenate((0, ["a"]), axis=None)
    except TypeError:
        return True
    return False


def _join_as_text(applied: Applied) -> None:
    import numpy as np

    join = np.concatenate

    def concatenate(arrays: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        try:
            return join(arrays, *args, **kwargs)
        except np.exceptions.DTypePromotionError:
            arrays = [np.asarray(array) for array in arrays]
            if not any(array.dtype.kind == "U" for array in arrays):
                raise
            return join([array.astype(str) for array in arrays], *args, **kwargs)

    applied.bind(np, "concatenate", concatenate)


# ------------------------------------------------------------------------------------ Pillow


def _fonts_without_getsize() -> list[type]:
    if _missing("PIL"):
        return []
    from PIL import ImageFont

    fonts = (ImageFont.ImageFont, ImageFont.FreeTypeFont)
    return [font for font in fonts if not hasattr(font, "getsize")]


def _getsize(
    self: Any,
    text: str,
    direction: str | None = None,
    features: list[str] | None = None,
    language: str | None = None,
    stroke_width: float = 0,
) -> tuple[int, int]:
    """Width of the ink, and height from the top of the line, as Pillow < 10 gave them."""
    options = {
        "direction": direction,
        "features": features,
        "language": language,
        "stroke_width": stroke_width,
    }
    left, _, right, bottom = self.getbbox(text, **{k: v for k, v in options.items() if v})
    return int(right - left), int(bottom)


def _add_getsize(applied: Applied) -> None:
    for font in _fonts_without_getsize():
        applied.bind(font, "getsize", _getsize)


# ------------------------------------------------------------------------------------ modules


def _installing_is_on() -> bool:
    return any(os.environ.get(name, "true").lower() in ("true", "1") for name in AUTOINSTALL)


def _stop_installing(applied: Applied) -> None:
    for name in AUTOINSTALL:
        applied.bind_item(os.environ, name, "false")
    for name in ("ultralytics.utils", "ultralytics.utils.checks"):
        module = sys.modules.get(name)
        if hasattr(module, "AUTOINSTALL"):  # it has read the variable already
            applied.bind(module, "AUTOINSTALL", False)


# -------------------------------------------------------------------------------- matplotlib


def _cycle_is_not_text() -> bool:
    if _missing("matplotlib"):
        return False
    import matplotlib

    colors = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", [])
    return not all(isinstance(color, str) for color in colors)


def _spell_cycle(applied: Applied) -> None:
    import matplotlib
    from matplotlib.colors import to_hex

    columns = matplotlib.rcParams["axes.prop_cycle"].by_key()
    columns["color"] = [to_hex(color) for color in columns["color"]]
    applied.bind_item(matplotlib.rcParams, "axes.prop_cycle", matplotlib.cycler(**columns))


# ------------------------------------------------------------------------------------- torch


def _integers_refuse_float_bounds() -> bool:
    import torch

    try:
        torch.zeros(1, dtype=torch.long).clamp_(0, torch.ones(()))
    except RuntimeError:
        return True
    return False


def _cast_bounds(applied: Applied) -> None:
    import torch

    clamp = torch.Tensor.clamp_

    def clamp_(self: torch.Tensor, min: Any = None, max: Any = None) -> torch.Tensor:
        if not self.dtype.is_floating_point:
            min, max = (
                bound.to(self.dtype) if isinstance(bound, torch.Tensor) else bound
                for bound in (min, max)
            )
        return clamp(self, min, max)

    applied.bind(torch.Tensor, "clamp_", clamp_)


def _fonts_come_from_the_network() -> bool:
    import torch

    theirs = torch.hub.download_url_to_file.__module__ == "torch.hub"
    return theirs and not _missing("matplotlib")


def _take_font_from_matplotlib(applied: Applied) -> None:
    import torch

    download = torch.hub.download_url_to_file

    def download_url_to_file(url: str, dst: str, *args: Any, **kwargs: Any) -> None:
        if not urlparse(url).path.lower().endswith((".ttf", ".ttc", ".otf")):
            return download(url, dst, *args, **kwargs)
        shutil.copyfile(font_file(), dst)

    applied.bind(torch.hub, "download_url_to_file", download_url_to_file)


def font_file() -> Path:
    """A font that is on every machine with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@dataclass(frozen=True)
class Remedy:
    """A repair that is made elsewhere, for the list."""

    name: str
    error: str
    since: str


# What is put right by other modules, whose first purpose it is.
OTHER_REPAIRS = (
    Remedy(
        name="torch_load",  # synet.checkpoints.read
        error="UnpicklingError: Weights only load failed, after the last epoch",
        since="torch 2.6",
    ),
    Remedy(
        name="triton_first",  # synet.system.import_order
        error="LLVM ERROR: inconsistency in registered CommandLine options, exit status 134",
        since="tensorflow or tensorboard imported before triton",
    ),
    Remedy(
        name="data_path",  # synet.patches.command_line, synet.patches.yolov5
        error="Dataset not found: the fork does not know the key path of a data yaml",
        since="forks of YOLOv5 before v6.0",
    ),
    Remedy(
        name="absent_packages",  # synet.patches.repairs.absent_packages
        error="ModuleNotFoundError for a package that only other models of the fork need",
        since="whatever the fork imports",
    ),
)

LIBRARY_REPAIRS = (
    Repair(
        name="np_trapz",
        error="AttributeError: module 'numpy' has no attribute 'trapz'",
        since="numpy 2.4",
        needed=_trapz_missing,
        apply=_name_trapz,
    ),
    Repair(
        name="np_alias",
        error="AttributeError: module 'numpy' has no attribute 'int'",
        since="numpy 1.24 (int, float, ...), 2.0 (float_, Inf, ...), 2.4 (in1d)",
        needed=lambda: bool(_missing_aliases()),
        apply=_alias_numpy,
    ),
    Repair(
        name="np_concat_str",
        error="DTypePromotionError, joining class numbers and label text",
        since="numpy 2.0",
        needed=_numbers_and_text_do_not_mix,
        apply=_join_as_text,
    ),
    Repair(
        name="pillow_getsize",
        error="AttributeError: 'FreeTypeFont' object has no attribute 'getsize'",
        since="Pillow 10",
        needed=lambda: bool(_fonts_without_getsize()),
        apply=_add_getsize,
    ),
    Repair(
        name="pkg_resources",
        error="ModuleNotFoundError: No module named 'pkg_resources'",
        since="setuptools 81",
        needed=lambda: _missing("pkg_resources"),
        apply=lambda applied: provide(applied, "pkg_resources"),
    ),
    Repair(
        name="autoinstall",
        error="pip install in the middle of training, by ultralytics' check_requirements",
        since="ultralytics 8.0",
        needed=_installing_is_on,
        apply=_stop_installing,
    ),
    Repair(
        name="ipython",
        error="ModuleNotFoundError: No module named 'IPython', when models/common.py is imported",
        since="YOLOv5 v7.0",
        needed=lambda: _missing("IPython"),
        apply=lambda applied: provide(applied, "IPython"),
    ),
    Repair(
        name="stub_cpuinfo",
        error="ModuleNotFoundError: No module named 'cpuinfo', when the processor is named",
        since="ultralytics 8.0 to 8.3; later ones do without",
        needed=lambda: _missing("cpuinfo"),
        apply=lambda applied: provide(applied, "cpuinfo"),
    ),
    Repair(
        name="stub_mish_cuda",
        error="ModuleNotFoundError: No module named 'mish_cuda', a CUDA extension",
        since="ScaledYOLOv4; torch has had Mish since 1.9",
        needed=lambda: _missing("mish_cuda"),
        apply=lambda applied: provide(applied, "mish_cuda"),
    ),
    Repair(
        name="stub_nms_rotated",
        error="ImportError: cannot import name 'nms_rotated_ext', a CUDA extension",
        since="forks for rotated boxes",
        # inside a fork: that it is missing is known when it is imported, and not before
        needed=lambda: not is_provided("nms_rotated_ext"),
        apply=lambda applied: provide(applied, "nms_rotated_ext"),
    ),
    Repair(
        name="mpl_cycle",
        error="TypeError: int() can't convert non-string with explicit base",
        since="matplotlib 3.11",
        needed=_cycle_is_not_text,
        apply=_spell_cycle,
    ),
    Repair(
        name="clamp_mixed",
        error="RuntimeError: result type Float can't be cast to the desired output type long int",
        since="torch 1.12",
        needed=_integers_refuse_float_bounds,
        apply=_cast_bounds,
    ),
    Repair(
        name="font",
        error="URLError while downloading Arial.ttf before training",
        since="YOLOv5 v6.0",
        needed=_fonts_come_from_the_network,
        apply=_take_font_from_matplotlib,
    ),
)
