"""Heads with anchors: the YOLOv5 line, and what YOLOv7, face and rotated-box forks made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.layers.heads.form import (
    HeadForm,
    Maps,
    Outputs,
    clipped,
    corners,
    decoded,
    dense,
    ends_in_convolution,
    in_row,
    joined,
    longer_side,
    origins,
    points,
    strides,
)
from synet.layers.heads.masks import prototypes, returned_prototypes

BOX, OBJECTNESS = 4, 5  # columns of an anchor up to there
ANGLES = 180
# m: a convolution a level; m2: the same for an auxiliary branch that only training needs; ia, im:
# what is added before it and multiplied behind it; m_kpt: keypoints; proto: masks.
PARTS = {"m", "m2", "ia", "im", "m_kpt", "proto"}


@dataclass(frozen=True)
class AnchorForm(HeadForm):
    """For each anchor of each cell: box, objectness, classes, and perhaps more.

    Parameters
    ----------
    classes
        Columns of the classes.
    points
        Columns of keypoints or landmarks.
    numbers
        Columns of each of them: x, y and perhaps presence.
    by_anchor
        Landmarks: ``raw * anchor + cell * stride``. Else ``(2 * raw - 0.5 + cell) * stride``.
    angles
        Columns of the angle's classes.
    masks
        Columns of coefficients of masks.
    implicit
        `ia` and `im` are still to be applied.
    """

    classes: range
    points: range = range(0)
    numbers: int = 2
    by_anchor: bool = False
    angles: range = range(0)
    masks: range = range(0)
    implicit: bool = False

    @property
    def task(self) -> str:  # noqa: D102
        return "segment" if self.masks else "pose" if self.points else "detect"

    @classmethod
    def of(cls, module: nn.Module) -> AnchorForm | None:  # noqa: D102
        m, anchors = getattr(module, "m", None), getattr(module, "anchors", None)
        if not isinstance(m, nn.ModuleList) or not isinstance(anchors, Tensor):
            return None
        if not all(hasattr(module, name) for name in ("nc", "no", "na", "nl", "stride")):
            return None
        keypoints = getattr(module, "m_kpt", None)
        apart = module.no - getattr(module, "no_det", module.no) if keypoints else 0
        fits = tuple(anchors.shape) == (len(m), module.na, 2) and len(m) == module.nl
        fits &= all(ends_in_convolution(conv, module.na * (module.no - apart)) for conv in m)
        if not fits or {name for name, _ in module.named_children()} - PARTS:
            return None
        # A fork that has folded them into the convolutions has given the head another forward.
        implicit = hasattr(module, "ia") and "forward" not in vars(module)
        plain = range(OBJECTNESS, OBJECTNESS + module.nc)
        rest, extra = range(plain.stop, module.no), module.no - plain.stop
        if extra == 0 or hasattr(module, "nm"):
            masks = rest if hasattr(module, "proto") and extra == module.nm else range(0)
            return cls(plain, masks=masks, implicit=implicit)
        if apart:
            whole = apart == extra and extra % 3 == 0
            return cls(plain, rest, 3, implicit=implicit) if whole else None
        if extra == ANGLES:
            return cls(plain, angles=rest, implicit=implicit)
        if extra > 0 and extra % 2 == 0:
            landmarks = range(OBJECTNESS, OBJECTNESS + extra)
            return cls(range(landmarks.stop, module.no), landmarks, 2, True, implicit=implicit)
        return None

    def inputs(self, head: nn.Module) -> list[int]:  # noqa: D102
        return list(range(head.nl))  # those of an auxiliary branch come behind them

    def export(  # noqa: D102
        self, head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None = None
    ) -> Outputs:
        side = longer_side(head, x, image_shape)
        anchors, parts = anchors_in_pixels(head), []
        for level, stride in enumerate(strides(head)):
            maps = self._maps(head, level, x[level])
            parts += [
                self._one_anchor(maps, number * head.no, anchor, stride, 6 / side)
                for number, anchor in enumerate(anchors[level])
            ]
        return joined(parts, side) | (prototypes(head, x) if self.masks else {})

    def _maps(self, head: nn.Module, level: int, x: Tensor) -> Maps:
        """All channels of a level: anchor by anchor, column by column."""
        weight, bias = dense(head.m[level])
        if self.implicit:  # (conv(x + a)) * m is a convolution too
            a, m = (getattr(head, name)[level].implicit.detach().flatten() for name in ("ia", "im"))
            bias = m * (bias + weight.flatten(1) @ a)
            weight = m.view(-1, 1, 1, 1) * weight
        maps = Maps(((x, weight, bias),))
        # The fork views both as (anchors, columns) together, so an anchor may lie in either.
        return maps + Maps.of(head.m_kpt[level], x) if self.numbers == 3 else maps

    def _one_anchor(
        self, maps: Maps, first: int, anchor: Tensor, stride: float, unit: float
    ) -> Outputs:
        """The outputs of one anchor, whose channels begin at `first`; `unit` is sixths a pixel.

        With s = sigmoid(xy) and q = sigmoid(wh)**2 YOLOv5's decoding is
        ``centre = (2 s - 0.5 + cell) stride`` and ``half size = 2 q anchor``. Anchors are kept
        apart because in one int8 tensor the largest would set the step of all.
        """

        def sigmoid(columns: range) -> Tensor:
            return in_row(maps.take([first + column for column in columns]).sigmoid())

        s, q = sigmoid(range(2)), sigmoid(range(2, BOX))
        q = q * q
        reach = (2 * unit * anchor).view(1, 2, 1, 1)
        coarse, fine = origins(maps.cells, -0.5, stride, unit)
        centre = s * (2 * stride * unit) + fine
        outputs = {
            "x1y1": F.relu6(centre + q * -reach + coarse),
            "x2y2": F.relu6(centre + q * reach + coarse),
            "scores": sigmoid(range(BOX, OBJECTNESS)) * sigmoid(self.classes),
        }
        if self.points:
            xy = [first + c for i, c in enumerate(self.points) if i % self.numbers < 2]
            gain = anchor if self.by_anchor else 2 * stride
            cells = origins(maps.cells, 0, stride, unit) if self.by_anchor else (coarse, fine)
            outputs["keypoints"] = points(maps, xy, gain * unit, cells)
        if self.numbers == 3:
            outputs["presence"] = sigmoid(self.points[2::3])
        if self.angles:
            outputs["angles"] = sigmoid(self.angles)
        if self.masks:
            outputs["coefficients"] = in_row(maps.take([first + column for column in self.masks]))
        return outputs

    def as_exported(  # noqa: D102
        self, head: nn.Module, output: Any, image_shape: tuple[int, int]
    ) -> Outputs:
        rows = decoded(head, output, head.no, 2)
        outputs = corners(rows[..., :BOX])
        outputs["scores"] = rows[..., BOX:OBJECTNESS] * rows[..., _slice(self.classes)]
        told = rows[..., _slice(self.points)].unflatten(2, (-1, self.numbers))
        if self.points:
            outputs["keypoints"] = told[..., :2].flatten(2)
        if self.numbers == 3:
            outputs["presence"] = told[..., 2]
        if self.angles:
            outputs["angles"] = rows[..., _slice(self.angles)]
        if self.masks:
            outputs["coefficients"] = rows[..., _slice(self.masks)]
            outputs |= returned_prototypes(head, output)
        return clipped(outputs, image_shape)


def anchors_in_pixels(head: nn.Module) -> Tensor:
    """Widths and heights (levels, anchors, 2), from where the head's own decoding has them."""
    shape = head.nl, head.na, 2
    in_pixels = getattr(head, "anchor_grid", None)
    if isinstance(in_pixels, Tensor):
        return in_pixels.detach().float().view(shape)
    stride = torch.tensor(strides(head)).view(-1, 1, 1)
    return head.anchors.detach().float().cpu().view(shape) * stride


def _slice(columns: range) -> slice:
    return slice(columns.start, columns.stop)
