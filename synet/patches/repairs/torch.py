"""What torch refuses that old code does, and what it would fetch from the network."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from synet.patches.repairs.matplotlib import font_file
from synet.patches.repairs.repair import LibraryRepair, is_missing

if TYPE_CHECKING:
    from synet.patches.undo import Applied


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
    return theirs and not is_missing("matplotlib")


def _take_font_from_matplotlib(applied: Applied) -> None:
    import torch

    download = torch.hub.download_url_to_file

    def download_url_to_file(url: str, dst: str, *args: Any, **kwargs: Any) -> None:
        if not urlparse(url).path.lower().endswith((".ttf", ".ttc", ".otf")):
            return download(url, dst, *args, **kwargs)
        shutil.copyfile(font_file(), dst)

    applied.bind(torch.hub, "download_url_to_file", download_url_to_file)


TORCH_REPAIRS = (
    LibraryRepair(
        name="clamp_mixed",
        error="RuntimeError: result type Float can't be cast to the desired output type long int",
        since="torch 1.12",
        needed=_integers_refuse_float_bounds,
        apply=_cast_bounds,
    ),
    LibraryRepair(
        name="font",
        error="URLError while downloading Arial.ttf before training",
        since="YOLOv5 v6.0",
        needed=_fonts_come_from_the_network,
        apply=_take_font_from_matplotlib,
    ),
)
