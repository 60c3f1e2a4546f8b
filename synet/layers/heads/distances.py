"""Heads without anchors: each cell tells the distances from its centre to the four sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from synet.layers.heads.form import (
    HeadForm,
    Maps,
    Outputs,
    clipped,
    corners,
    decoded,
    ends_in_convolution,
    joined,
    layers_of,
    longer_side,
    origins,
    points,
    strides,
    values,
)

ONE = "one2one_"  # an end-to-end head's second set of branches, trained for one row an object


@dataclass(frozen=True)
class DistanceForm(HeadForm):
    """A branch for boxes, one for classes, and perhaps one for keypoints.

    Parameters
    ----------
    boxes, classes
        Attributes of the branches, a ModuleList each. Where a head has several pairs, for
        several sets of feature maps, the last pair is the main one.
    bins
        Attribute of what turns the bins of a distance into their expectation; "" where the
        branch tells the distance itself.
    branch
        Which set of feature maps, from 0.
    keypoints, heads
        Attributes of the keypoints' branch and, where it ends before them, of its last
        convolutions.
    """

    boxes: str
    classes: str
    bins: str
    branch: int
    keypoints: str = ""
    heads: str = ""

    @classmethod
    def of(cls, module: nn.Module) -> DistanceForm | None:  # noqa: D102
        if not all(hasattr(module, name) for name in ("nc", "nl", "reg_max", "stride")):
            return None
        parts = {name for name, _ in module.named_children()}
        branch = sum(f"dfl{n}" in parts for n in (2, 3))
        boxes, classes = f"cv{2 + 2 * branch}", f"cv{3 + 2 * branch}"
        known = {"dfl", *(f"dfl{n + 1}" for n in range(branch + 1))}
        known |= {f"cv{n}" for n in range(2, 4 + 2 * branch)}
        keypoints = heads = ""
        if hasattr(module, "kpt_shape") and not branch:
            keypoints, heads = "cv4", "cv4_kpts" if hasattr(module, "cv4_kpts") else ""
            known |= {"cv4", "cv4_kpts", "cv4_sigma", "flow_model"}
        if parts - known - {ONE + name for name in known}:
            return None
        # Some forks drop, before inference, the branches that they do not decode.
        ours = "" if boxes in parts else ONE
        form = cls(
            ours + boxes,
            ours + classes,
            (f"dfl{branch + 1}" if branch else "dfl") if module.reg_max > 1 else "",
            branch,
            keypoints and ours + keypoints,
            heads and ours + heads,
        )
        return form if form._fits(module) else None

    def _fits(self, head: nn.Module) -> bool:
        wanted = {self.boxes: 4 * head.reg_max, self.classes: head.nc}
        if self.keypoints:
            count, numbers = head.kpt_shape
            if numbers not in (2, 3):
                return False
            wanted[self.heads or self.keypoints] = count * numbers
        lists = [(getattr(head, name, None), channels) for name, channels in wanted.items()]
        return all(
            isinstance(branches, nn.ModuleList)
            and len(branches) == head.nl
            and all(ends_in_convolution(branch, channels) for branch in branches)
            for branches, channels in lists
        ) and (not self.bins or hasattr(getattr(head, self.bins, None), "conv"))

    def inputs(self, head: nn.Module) -> list[int]:  # noqa: D102
        return list(range(self.branch * head.nl, (self.branch + 1) * head.nl))

    def export(  # noqa: D102
        self, head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None = None
    ) -> Outputs:
        x = [x[i] for i in self.inputs(head)]
        side = longer_side(head, x, image_shape)
        parts = [
            self._one_level(head, level, x[level], stride, 6 / side)
            for level, stride in enumerate(strides(head))
        ]
        return joined(parts, side)

    def _one_level(
        self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float
    ) -> Outputs:
        """The outputs of one level; `unit` is sixths a pixel."""
        boxes = Maps.of(getattr(head, self.boxes)[level], x)
        coarse, fine = origins(boxes.cells, 0.5, stride, unit)
        near = self._distance(head, boxes, (0, 1), -stride * unit, fine)
        far = self._distance(head, boxes, (2, 3), stride * unit, fine)
        outputs = {
            "x1y1": F.relu6(near + coarse),
            "x2y2": F.relu6(far + coarse),
            "scores": values(getattr(head, self.classes)[level](x).sigmoid()),
        }
        return (
            outputs | self._keypoints(head, level, x, stride, unit) if self.keypoints else outputs
        )

    def _distance(
        self, head: nn.Module, maps: Maps, sides: tuple[int, int], gain: float, fine: Tensor
    ) -> Tensor:
        """Distances to two sides, times `gain`, plus `fine`: (1, H*W, 2).

        The expectation over the bins is a 1x1 convolution, whose weights take the gain in.
        `fine` is added before the shape changes: otherwise the converter would make one
        constant of it and the coarse one.
        """
        bins = head.reg_max
        channels = range(sides[0] * bins, (sides[1] + 1) * bins)
        if not self.bins:
            fine = fine.view(1, *maps.cells, 2).permute(0, 3, 1, 2)
            return values(maps.take(channels, gain) + fine)
        y = maps.take(channels).reshape(1, 2, bins, -1).permute(0, 2, 3, 1)
        weight = getattr(head, self.bins).conv.weight.detach().view(1, bins, 1, 1)
        return (F.conv2d(y.softmax(1), weight * gain) + fine.unsqueeze(1)).reshape(1, -1, 2)

    def _keypoints(
        self, head: nn.Module, level: int, x: Tensor, stride: float, unit: float
    ) -> Outputs:
        """``(2 * raw + cell) * stride``; with `heads`, ``(raw + 0.5 + cell) * stride``."""
        gain, offset = (stride, 0.5) if self.heads else (2 * stride, 0.0)
        branch = getattr(head, self.keypoints)[level]
        if self.heads:
            branch = nn.Sequential(*layers_of(branch), getattr(head, self.heads)[level])
        maps = Maps.of(branch, x)
        count, numbers = head.kpt_shape
        xy = [c for c in range(count * numbers) if c % numbers < 2]
        cells = origins(maps.cells, offset, stride, unit)
        told = {"keypoints": points(maps, xy, gain * unit, cells)}
        if numbers == 3:
            told["presence"] = values(maps.take(range(2, 3 * count, 3)).sigmoid())
        return told

    def as_exported(  # noqa: D102
        self, head: nn.Module, output: Any, image_shape: tuple[int, int]
    ) -> Outputs:
        count, numbers = head.kpt_shape if self.keypoints else (0, 2)
        output, by_corners = self._my_branches(head, output)
        rows = decoded(head, output, 4 + head.nc + count * numbers, 1).transpose(1, 2)
        boxes, scores, told = rows.split((4, head.nc, count * numbers), 2)
        if by_corners:
            outputs = {"x1y1": boxes[..., :2], "x2y2": boxes[..., 2:]}
        else:
            outputs = corners(boxes)
        outputs["scores"] = scores
        if self.keypoints:
            told = told.unflatten(2, (count, numbers))
            outputs["keypoints"] = told[..., :2].flatten(2)
            if numbers == 3:
                outputs["presence"] = told[..., 2]
        return clipped(outputs, image_shape)

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
