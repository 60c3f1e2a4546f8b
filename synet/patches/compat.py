"""Repairs that let YOLO code of other years run on today's torch, numpy, Pillow and matplotlib.

A `Repair` mends a library: a name that old code uses and that is gone, or does something
else. It is applied only where that is so. A `ForkRepair` wraps a function that forks share
by name. Each says which error it answers and what brought it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from synet.patches.pkg_resources import flat, pkg_resources, requirement_lines

if TYPE_CHECKING:
    from synet.patches.engine import Applied

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
        Is the name missing or wrong in this process?
    apply
        Puts it right, through an `Applied` that remembers what was there.
    """

    name: str
    error: str
    since: str
    needed: Callable[[], bool]
    apply: Callable[[Applied], None]


@dataclass(frozen=True)
class ForkRepair:
    """A function of forks, by name, and the wrapt wrapper that mends it."""

    name: str
    function: str
    error: str
    since: str
    wrapper: Callable[[Callable, Any, tuple, dict], Any]


def apply_library_repairs(applied: Applied) -> list[Repair]:
    """Apply each repair that this process needs; return those."""
    needed = [repair for repair in LIBRARY_REPAIRS if repair.needed()]
    for repair in needed:
        repair.apply(applied)
    return needed


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


# ------------------------------------------------------------------------------------ Pillow


def _fonts_without_getsize() -> list[type]:
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


# -------------------------------------------------------------------------------- setuptools


def _pkg_resources_missing() -> bool:
    if "pkg_resources" in sys.modules:
        return False
    return importlib.util.find_spec("pkg_resources") is None


def _provide_pkg_resources(applied: Applied) -> None:
    applied.bind_item(sys.modules, "pkg_resources", pkg_resources())


def _installing_is_on() -> bool:
    return any(os.environ.get(name, "true").lower() in ("true", "1") for name in AUTOINSTALL)


def _stop_installing(applied: Applied) -> None:
    for name in AUTOINSTALL:
        applied.bind_item(os.environ, name, "false")
    for name in ("ultralytics.utils", "ultralytics.utils.checks"):
        module = sys.modules.get(name)
        if hasattr(module, "AUTOINSTALL"):  # it has read the variable already
            applied.bind(module, "AUTOINSTALL", False)


# ----------------------------------------------------------------------------------- IPython


def _ipython_missing() -> bool:
    return "IPython" not in sys.modules and importlib.util.find_spec("IPython") is None


def _provide_ipython(applied: Applied) -> None:
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    display.display = lambda *objects, **options: print(*objects)
    display.clear_output = lambda wait=False: None
    package.display, package.get_ipython = display, lambda: None  # None: not in a notebook
    package.__path__, package.__version__, package.version_info = [], "0", (0, 0, 0)
    applied.bind_item(sys.modules, "IPython", package)
    applied.bind_item(sys.modules, "IPython.display", display)


# -------------------------------------------------------------------------------- matplotlib


def _cycle_is_not_text() -> bool:
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

    return torch.hub.download_url_to_file.__module__ == "torch.hub"


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


# ------------------------------------------------------------------------- functions of forks


def _check_requirements(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> bool:
    """Say what is missing; never install, and never stop what may well run without it."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    bound.apply_defaults()
    wanted = bound.arguments.get("requirements", ())
    excluded = set(bound.arguments.get("exclude", ()))
    unmet = list(unmet_requirements(wanted, excluded))
    if unmet:
        LOGGER.warning(
            "requirements not met: %s. SyNet installs nothing while a fork runs; where something "
            "fails for want of it, stop and run: pip install %s",
            "; ".join(unmet),
            " ".join(f'"{line.partition(" (")[0]}"' for line in unmet),
        )
    return not unmet


def unmet_requirements(wanted: Any, excluded: Iterable[str] = ()) -> Iterator[str]:
    """Which of `wanted` this environment does not meet, each with the reason.

    Parameters
    ----------
    wanted
        A requirements.txt, a requirement or a list of them; a tuple inside a list
        holds alternatives, of which one is enough.
    excluded
        Project names to leave out.
    """
    if isinstance(wanted, Path) or str(wanted).endswith(".txt"):
        wanted = Path(wanted).read_text().splitlines() if Path(wanted).is_file() else []
    elif isinstance(wanted, str):
        wanted = [wanted]
    package = pkg_resources()
    for item in wanted:
        alternatives = list(requirement_lines(flat(item)))
        problems = []
        for line in alternatives:
            try:
                name = package.Requirement(line).name
                if name not in excluded:
                    package.require(line)
                problems = []
                break
            except package.ResolutionError as error:
                problems.append(f"{line} ({str(error).rpartition(': ')[2]})")
            except ValueError:  # a web address, or a spelling that only its author's pip reads
                break
        yield from problems[:1]


def _check_git_status(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> None:
    """Nothing: it asks the network, and one version adds a remote to the user's repository."""


def _check_git_info(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
    """What git says of the fork, or nothing: it is a note for the checkpoint."""
    try:
        return wrapped(*args, **kwargs)
    except Exception:  # no GitPython, no git, no remote called origin, another user's folder
        return {"remote": None, "branch": None, "commit": None}


def _attempt_download_from_hub(
    wrapped: Callable, instance: Any, args: tuple, kwargs: dict
) -> str | None:
    """Ask Hugging Face only for what is not a file here."""
    repository = str(args[0] if args else kwargs.get("repo_id", ""))
    if not repository or os.path.exists(repository):
        return None
    return wrapped(*args, **kwargs)


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
        needed=_pkg_resources_missing,
        apply=_provide_pkg_resources,
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
        needed=_ipython_missing,
        apply=_provide_ipython,
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

FORK_REPAIRS = (
    ForkRepair(
        name="requirements",
        function="check_requirements",
        error="pip install in the middle of training, with whatever pip is first on PATH",
        since="YOLOv5 v5.0",
        wrapper=_check_requirements,
    ),
    ForkRepair(
        name="git_status",
        function="check_git_status",
        error="a remote added to the user's repository; ten seconds lost without a network",
        since="YOLOv5 v6.2",
        wrapper=_check_git_status,
    ),
    ForkRepair(
        name="git_info",
        function="check_git_info",
        error="AttributeError: No item found with id origin (or no GitPython), importing train.py",
        since="YOLOv5 v7.0",
        wrapper=_check_git_info,
    ),
    ForkRepair(
        name="hub",
        function="attempt_download_from_hub",
        error="ConnectionError from huggingface_hub for weights that lie here",
        since="yolov5 of PyPI (seen in 7.0.14)",
        wrapper=_attempt_download_from_hub,
    ),
)
