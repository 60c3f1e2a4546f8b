"""Heads without anchors: each cell tells the distances from its centre to the four sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.layers.exporting import softmax_rows
from synet.layers.heads.form import (
    HeadForm,
    Maps,
    Outputs,
    clipped,
    corners,
    decoded,
    ends_in_convolution,
    in_row,
    joined,
    layers_of,
    longer_side,
    origins,
    points,
    strides,
    told_by,
)
from synet.layers.heads.masks import prototypes, returned_prototypes
from synet.system.errors import SynetError

ONE = "one2one_"  # an end-to-end head's second set of branches, trained for one row an object


class Told(NamedTuple):
    """What a fork has decoded, in rows: four numbers of boxes, and what its third branch told."""

    boxes: Tensor
    more: Tensor
    by_corners: bool


@dataclass(frozen=True)
class DistanceForm(HeadForm):
    """A branch for boxes and one for classes; subclasses have a third.

    Parameters
    ----------
    boxes, classes, more
        Attributes of the branches, a ModuleList each. Where a head has several pairs, for
        several sets of feature maps, the last pair is the main one.
    bins
        Attribute of what turns the bins of a distance into their expectation; "" where the
        branch tells the distance itself.
    branch
        Which set of feature maps, from 0.
    """

    boxes: str
    classes: str
    more: str
    bins: str
    branch: int

    PARTS: ClassVar[frozenset[str]] = frozenset()  # besides boxes, classes and bins
    MORE: ClassVar[str] = ""

    @classmethod
    def of(cls, module: nn.Module) -> DistanceForm | None:  # noqa: D102
        if not all(hasattr(module, name) for name in ("nc", "nl", "reg_max", "stride")):
            return None
        parts = {name for name, _ in module.named_children()}
        branch = sum(f"dfl{n}" in parts for n in (2, 3)) if not cls.MORE else 0
        boxes, classes = f"cv{2 + 2 * branch}", f"cv{3 + 2 * branch}"
        known = {"dfl", *(f"dfl{n + 1}" for n in range(branch + 1))} | cls.PARTS
        known |= {f"cv{n}" for n in range(2, 4 + 2 * branch)}
        if parts - known - {ONE + name for name in known}:
            return None
        # Some forks drop, before inference, the branches that they do not decode.
        ours = "" if boxes in parts else ONE
        bins = (f"dfl{branch + 1}" if branch else "dfl") if module.reg_max > 1 else ""
        form = cls(ours + boxes, ours + classes, cls.MORE and ours + cls.MORE, bins, branch)
        return form if form._fits(module) else None

    def _fits(self, head: nn.Module) -> bool:
        """Has `head` all the branches, with as many channels as they must have?"""
        wanted = {self.boxes: 4 * head.reg_max, self.classes: head.nc, **self._more_channels(head)}
        lists = [(getattr(head, name, None), channels) for name, channels in wanted.items()]
        return all(
            isinstance(branches, nn.ModuleList)
            and len(branches) == head.nl
            and all(ends_in_convolution(branch, channels) for branch in branches)
            for branches, channels in lists
        ) and (not self.bins or hasattr(getattr(head, self.bins, None), "conv"))

    def inputs(self, head: nn.Module) -> list[int]:  # noqa: D102
        return list(range(self.branch * head.nl, (self.branch + 1) * head.nl))

    def note(self, head: nn.Module) -> str:  # noqa: D102
        if not any(name.startswith(ONE) for name, _ in head.named_children()):
            return ""
        name = type(head).__name__
        if self.boxes.startswith(ONE):
            return f"{name} has only its one-to-one branch left: it is what is exported"
        return (
            f"{name} is end-to-end; its one-to-many branch is exported, so the application "
            f"suppresses overlapping boxes (NMS)"
        )

    def export(  # noqa: D102
        self, head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None = None
    ) -> Outputs:
        x = [x[i] for i in self.inputs(head)]
        side = longer_side(head, x, image_shape)
        parts = [
            self._boxes(head, level, x[level], stride, 6 / side)
            | {"scores": told_by(getattr(head, self.classes)[level], x[level], torch.sigmoid)}
            | self._more(head, level, x[level], stride, 6 / side)
            for level, stride in enumerate(strides(head))
        ]
        return joined(parts, side)

    def _boxes(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        """The boxes of one level; `unit` is sixths a pixel.

        `fine` is added before the shape changes: otherwise the converter would make one
        constant of it and the coarse one.
        """
        maps = Maps.of(getattr(head, self.boxes)[level], x)
        coarse, fine = origins(maps.cells, 0.5, stride, unit)
        fine = fine.view(1, 2, *maps.cells)
        near = in_row(self._distances(head, maps, range(2), -stride * unit) + fine)
        far = in_row(self._distances(head, maps, range(2, 4), stride * unit) + fine)
        return {"x1y1": F.relu6(near + coarse), "x2y2": F.relu6(far + coarse)}

    def _distances(self, head: nn.Module, maps: Maps, sides: range, gain: float) -> Tensor:
        """Distances to some sides, times `gain`: (1, sides, H, W)."""
        if not self.bins:
            return maps.take(sides, gain)
        # Compilers compute SOFTMAX in int32, in several tensors of its size at once: that is what a
        # head needs most memory for.
        bands = maps.bands(softmax_rows())
        found = [
            torch.cat([self._expected(head, band, side, gain) for band in bands], 2)
            for side in sides
        ]
        return torch.cat(found, 1)

    def _expected(self, head: nn.Module, maps: Maps, side: int, gain: float) -> Tensor:
        """Expectation of a distance over its bins, times `gain`: (1, 1, H, W).

        It is a 1x1 convolution. Counted from the middle bin, what int8 takes from the sum of the
        shares, which is 1, moves it least.
        """
        shares = maps.take(range(side * head.reg_max, (side + 1) * head.reg_max)).softmax(1)
        values = getattr(head, self.bins).conv.weight.detach().view(1, -1, 1, 1)
        middle = (values.min() + values.max()) / 2
        return F.conv2d(shares, (values - middle) * gain, (middle * gain).view(1))

    def as_exported(  # noqa: D102
        self, head: nn.Module, output: Any, image_shape: tuple[int, int]
    ) -> Outputs:
        more = sum(self._more_channels(head).values())
        rows, by_corners = self._my_branches(head, output)
        rows = decoded(head, rows, 4 + head.nc + more, 1).transpose(1, 2)
        boxes, scores, told = rows.split((4, head.nc, more), 2)
        outputs = self._told_boxes(head, Told(boxes, told, by_corners), image_shape)
        outputs["scores"] = scores
        return clipped(outputs | self._told(head, told, output), image_shape)

    def _my_branches(self, head: nn.Module, output: Any) -> tuple[Any, bool]:
        """What the branches that are exported gave, decoded, and whether boxes are two corners.

        An end-to-end head decodes both sets of branches, or picks the best rows of the
        second set and leaves the first undecoded, for the loss.
        """
        mine = "one2one" if self.boxes.startswith(ONE) else "one2many"
        by_corners = bool(getattr(head, "xyxy", False))
        if isinstance(output, dict) and mine in output:
            return output[mine], by_corners
        if getattr(head, "end2end", False) and isinstance(output, tuple):
            return head._inference(output[1][mine]), True
        return output, by_corners

    def _told_boxes(self, head: nn.Module, told: Told, image_shape: tuple[int, int]) -> Outputs:
        """The fork's boxes (1, R, 4), as exported."""
        if told.by_corners:
            return {"x1y1": told.boxes[..., :2], "x2y2": told.boxes[..., 2:]}
        return corners(told.boxes)

    # ------------------------------------------------------------------ the third branch

    def _more_channels(self, head: nn.Module) -> dict[str, int]:
        """The attribute of the third branch, if there is one, and its channels."""
        return {}

    def _more(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        """What it tells of one level; `unit` is sixths a pixel."""
        return {}

    def _told(self, head: nn.Module, told: Tensor, output: Any) -> Outputs:
        """What the fork has decoded of it, `told` (1, R, channels), as exported."""
        return {}


@dataclass(frozen=True)
class PoseForm(DistanceForm):
    """The third branch tells keypoints; where it ends before them, another ends in them."""

    task = "pose"
    PARTS = frozenset({"cv4", "cv4_kpts", "cv4_sigma", "flow_model"})
    MORE = "cv4"

    def _fits(self, head: nn.Module) -> bool:
        shape = getattr(head, "kpt_shape", (0, 0))
        return shape[1] in (2, 3) and super()._fits(head)

    def _ends(self, head: nn.Module) -> str:
        """Attribute of the last convolutions, where the third branch ends before them."""
        return f"{self.more}_kpts" if hasattr(head, f"{self.more}_kpts") else ""

    def _more_channels(self, head: nn.Module) -> dict[str, int]:
        return {self._ends(head) or self.more: math.prod(head.kpt_shape)}

    def _more(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        """``(2 * raw + cell) * stride``; with other ends, ``(raw + 0.5 + cell) * stride``."""
        ends = self._ends(head)
        gain, offset = (stride, 0.5) if ends else (2 * stride, 0.0)
        branch = getattr(head, self.more)[level]
        if ends:
            branch = nn.Sequential(*layers_of(branch), getattr(head, ends)[level])
        maps = Maps.of(branch, x)
        count, numbers = head.kpt_shape
        xy = [c for c in range(count * numbers) if c % numbers < 2]
        cells = origins(maps.cells, offset, stride, unit)
        told = {"keypoints": points(maps, xy, gain * unit, cells)}
        if numbers == 3:
            told["presence"] = in_row(maps.take(range(2, 3 * count, 3)).sigmoid())
        return told

    def _told(self, head: nn.Module, told: Tensor, output: Any) -> Outputs:
        told = told.unflatten(2, tuple(head.kpt_shape))
        found = {"keypoints": told[..., :2].flatten(2)}
        return found | ({"presence": told[..., 2]} if head.kpt_shape[1] == 3 else {})


@dataclass(frozen=True)
class MaskForm(DistanceForm):
    """The third branch tells coefficients of prototypes of masks."""

    task = "segment"
    PARTS = frozenset({"cv4", "proto"})
    MORE = "cv4"

    def _fits(self, head: nn.Module) -> bool:
        return all(hasattr(head, name) for name in ("nm", "proto")) and super()._fits(head)

    def _more_channels(self, head: nn.Module) -> dict[str, int]:
        return {self.more: head.nm}

    def export(  # noqa: D102
        self, head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None = None
    ) -> Outputs:
        return super().export(head, x, image_shape) | prototypes(head, x)

    def _more(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        return {"coefficients": told_by(getattr(head, self.more)[level], x)}

    def _told(self, head: nn.Module, told: Tensor, output: Any) -> Outputs:
        return {"coefficients": told} | returned_prototypes(head, output)


@dataclass(frozen=True)
class RotatedForm(DistanceForm):
    """The third branch tells the angle of the box: its cell is where it is rotated about."""

    task = "obb"
    PARTS = frozenset({"cv4"})
    MORE = "cv4"

    def _fits(self, head: nn.Module) -> bool:
        return getattr(head, "ne", 0) == 1 and super()._fits(head)

    def _more_channels(self, head: nn.Module) -> dict[str, int]:
        return {self.more: 1}

    def _boxes(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        maps = Maps.of(getattr(head, self.boxes)[level], x)
        return {"sides": in_row(self._distances(head, maps, range(4), stride))}

    def _more(self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float) -> Outputs:
        activation = _angle if self._is_logistic(head) else None
        return {"angle": told_by(getattr(head, self.more)[level], x, activation)}

    def _is_logistic(self, head: nn.Module) -> bool:
        """Is the angle a logistic function of what the branch tells, or that itself?

        Both kinds have the same parts, so it is tried, on a few cells.
        """
        branches = getattr(head, self.more)
        first = [next(m for m in b.modules() if isinstance(m, nn.Conv2d)) for b in branches]
        random = torch.Generator().manual_seed(0)
        x = [torch.randn(1, c.in_channels, 2, 2, generator=random).to(c.weight) for c in first]
        training = head.training
        try:
            head.training = True  # of the head alone: it then returns what the loss reads
            with torch.no_grad():
                told, raw = type(head).forward(head, x), branches[0](x[0]).flatten(2)
        finally:
            head.training = training
        found = [y[..., :4] for y in _tensors(told) if y.dim() == 3 and y.shape[:2] == (1, 1)]
        for kind in (True, False):
            wanted = _angle(raw) if kind else raw
            if any(torch.allclose(y, wanted) for y in found):
                return kind
        raise SynetError(f"{type(head).__name__} tells the angle in a way of its own")

    def _told_boxes(self, head: nn.Module, told: Told, image_shape: tuple[int, int]) -> Outputs:
        """Centre, width and height of the rotated box, as distances from the cell."""
        from synet.rotated import cell_centres

        cells = torch.from_numpy(cell_centres(image_shape, strides(head))).to(told.boxes)
        x, y = (told.boxes[..., :2] - cells).split(1, 2)
        cos, sin, half = told.more.cos(), told.more.sin(), told.boxes[..., 2:] / 2
        shift = torch.cat((x * cos + y * sin, y * cos - x * sin), 2)
        return {"sides": torch.cat((half - shift, half + shift), 2)}

    def _told(self, head: nn.Module, told: Tensor, output: Any) -> Outputs:
        return {"angle": told}


def _angle(raw: Tensor) -> Tensor:
    """Radians, from -45 to 135 degrees."""
    return raw.sigmoid() * math.pi - math.pi / 4


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
