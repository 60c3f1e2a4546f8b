"""What the exports of all heads have in common.

Boxes are computed in sixths of the longer side of the image: ReLU6 then clips them to it,
which keeps the int8 scale at one step in 255 of it. Values that differ in kind come out of
convolutions of their own, so that each has an int8 scale of its own: an objectness of -12 would
leave the boxes a few levels. And no slice is needed.

A box that is rotated about the centre of its cell may reach far beyond the image before it is
rotated, and clipping its corners would lose it. So its four sides are told as distances, which have
a finer int8 step, too, and need nothing but the cell and the angle to become a box:

    shift = ((right - left) / 2, (bottom - top) / 2)
    centre = cell centre + (shift.x cos - shift.y sin, shift.x sin + shift.y cos)
    width, height = left + right, top + bottom

`synet.rotated` does it in numpy, with the cell centres that follow from image shape and strides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.system.errors import SynetError

CLIPPED = ("x1y1", "x2y2", "keypoints")  # outputs in input pixels, clipped to the longer side
PIXELS = (*CLIPPED, "sides")  # all that are in input pixels

Outputs = dict[str, Tensor]


class HeadForm(ABC):
    """A kind of head: how its export reads and decodes what the fork has trained.

    The export gives, for R rows in the order of the fork's own evaluation,

    - ``x1y1`` and ``x2y2`` (1, R, 2): corners in input pixels, clipped to the longer side;
    - ``scores`` (1, R, classes): 0-1;
    - ``keypoints`` (1, R, 2 * points): x and y of each point in input pixels, clipped
      likewise, and ``presence`` (1, R, points), 0-1, of heads that tell them;
    - ``coefficients`` (1, R, M) and ``prototypes`` (1, h, w, M) of heads that tell masks: the mask
      of a row is the logistic function of the sum over M of its coefficients times the prototypes;
    - ``sides`` (1, R, 4) and ``angle`` (1, R, 1), of heads of rotated boxes, in place of the
      corners: distances of left, top, right and bottom from the centre of the row's cell in input
      pixels, along the axes of the box, and radians;
    - ``angles`` (1, R, 180): 0-1, of heads that class the angle in degrees; their corners are
      those before the rotation about the centre of the box.

    A classifier gives ``probabilities`` (1, classes), and nothing else.

    Attributes
    ----------
    task
        What a network that ends in it is for: detect, pose, segment, obb or classify.
    """

    task = "detect"

    @classmethod
    @abstractmethod
    def of(cls, module: nn.Module) -> HeadForm | None:
        """The form of `module`, or None where it is no head of this kind."""

    @abstractmethod
    def inputs(self, head: nn.Module) -> list[int]:
        """Which entries of the head's list of inputs the export reads."""

    @abstractmethod
    def export(
        self, head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None = None
    ) -> Outputs:
        """The outputs, from the head's feature maps (1, C, H, W), prototypes as (1, M, h, w).

        Parameters
        ----------
        image_shape
            Height and width of the image, in pixels. Default: what the cells of the finest level
            cover.
        """

    def note(self, head: nn.Module) -> str:
        """What whoever exports this head should know, in one line; mostly nothing."""
        return ""

    @abstractmethod
    def as_exported(self, head: nn.Module, output: Any, image_shape: tuple[int, int]) -> Outputs:
        """The same from what the whole network returned in evaluation: by the fork's own decoding.

        Raises
        ------
        SynetError
            It is not what such a head returns.
        """


@dataclass(frozen=True)
class Maps:
    """The channels of 1x1 convolutions, to be taken in parts.

    Parameters
    ----------
    parts
        Input (1, C, H, W), weight (K, C, 1, 1) and bias (K,) of each; their outputs count
        as one behind the other.
    """

    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]

    @classmethod
    def of(cls, branch: nn.Module, x: Tensor) -> Maps:
        """`branch`, which ends in a convolution, on `x`."""
        *stem, last = layers_of(branch)
        for layer in stem:
            x = layer(x)
        return cls(((x, *dense(last)),))

    def __add__(self, other: Maps) -> Maps:
        return Maps(self.parts + other.parts)

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width."""
        return tuple(self.parts[0][0].shape[2:])

    def bands(self, cells: int | None) -> list[Maps]:
        """The same in bands of whole rows of the image, of about as many `cells` at most."""
        height, width = self.cells
        if cells is None or height * width <= cells:
            return [self]
        step = max(cells // width, 1)
        return [
            Maps(tuple((x[:, :, top : top + step], *rest) for x, *rest in self.parts))
            for top in range(0, height, step)
        ]

    def take(self, channels: Iterable[int], gain: float | Tensor = 1.0) -> Tensor:
        """Some `channels`, in rising order, times `gain` (one, or one each): (1, K, H, W)."""
        channels, start, taken = torch.tensor(list(channels)), 0, []
        gains = torch.as_tensor(gain, dtype=torch.float32).expand(len(channels))
        for x, weight, bias in self.parts:
            mine = (channels >= start) & (channels < start + len(bias))
            rows, scale = channels[mine] - start, gains[mine].to(weight)
            if len(rows):
                w, b = weight[rows] * scale.view(-1, 1, 1, 1), bias[rows] * scale
                taken.append(F.conv2d(x, w, b))
            start += len(bias)
        return torch.cat(taken, 1)


def layers_of(branch: nn.Module) -> list[nn.Module]:
    """The layers of a Sequential, or the one that it is."""
    return list(branch) if isinstance(branch, nn.Sequential) else [branch]


def ends_in_convolution(branch: nn.Module, channels: int) -> bool:
    """Is the last layer a 1x1 convolution to so many channels?"""
    last = layers_of(branch)[-1]
    return (
        isinstance(last, nn.Conv2d)
        and last.out_channels == channels
        and (last.kernel_size, last.stride, last.padding) == ((1, 1), (1, 1), (0, 0))
    )


def dense(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (K, C, 1, 1) and bias (K,) of the convolution without groups that does the same."""
    weight = conv.weight.detach()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if conv.groups > 1:
        blocks = weight.flatten(1).chunk(conv.groups)
        weight = torch.block_diag(*blocks)[..., None, None]
    return weight, bias


def in_row(y: Tensor) -> Tensor:
    """All cells side by side: (1, C, H, W) to (1, C, 1, H*W).

    In this form the rows of all levels are joined: compilers write what is computed in it straight
    to its place among them, and copy what has to be reshaped first.
    """
    return y.reshape(1, y.shape[1], 1, -1)


def told_by(
    branch: nn.Module, x: Tensor, activation: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """What a branch, which ends in a convolution, tells of each cell: (1, C, 1, H*W).

    What its last convolution takes is put in a row, or what it gives: whichever is smaller, because
    on chips that reshape by copying it is in memory twice.
    """
    *stem, last = layers_of(branch)
    for layer in stem:
        x = layer(x)
    x = in_row(x) if last.in_channels <= last.out_channels else x
    y = last(x)
    return in_row(activation(y) if activation else y)


def points(
    maps: Maps, channels: Sequence[int], gain: float | Tensor, constants: tuple[Tensor, Tensor]
) -> Tensor:
    """x and y of points, ``raw * gain + origin`` within the image: (1, 2 * points, 1, H*W).

    Parameters
    ----------
    channels
        Of x, y, x, y, ...
    gain
        One, or one for x and one for y.
    constants
        The origin, as `origins` gives it.
    """
    count = len(channels) // 2
    gains = torch.as_tensor(gain, dtype=torch.float32).expand(2).repeat(count)
    y = maps.take(channels, gains).reshape(1, count, 2, -1)
    return F.relu6(y + sum(constants).transpose(1, 2)).reshape(1, 2 * count, 1, -1)


def origins(
    cells: tuple[int, int], offset: float, stride: float, unit: float
) -> tuple[Tensor, Tensor]:
    """Origins ``(cell + offset) * stride * unit`` as coarse + fine, (1, 2, 1, H*W) each.

    As one int8 constant they would be off by up to half of 1/255 of the image. `coarse` has
    exactly 256 equidistant values, which int8 holds exactly, and `fine`, the small
    rest, has a scale of its own.
    """
    h, w = cells
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    origin = (np.stack((x, y)).reshape(1, 2, 1, -1) + offset) * stride * unit
    step = max(np.ptp(origin), stride * unit) / 255
    coarse = np.round(origin / step) * step
    return tuple(torch.from_numpy(a.astype(np.float32)) for a in (coarse, origin - coarse))


def strides(head: nn.Module) -> list[float]:
    """Pixels a cell, of each level.

    Raises
    ------
    SynetError
        They are not known yet.
    """
    stride = getattr(head, "stride", None)
    if stride is None or not all(float(s) > 0 for s in stride):
        raise SynetError(f"{type(head).__name__} has no strides before a model has been built")
    return [float(s) for s in stride]


def longer_side(head: nn.Module, x: Sequence[Tensor], image_shape: tuple[int, int] | None) -> float:
    """Pixels of the longer side of the image, which the finest of the maps `x` tells if need be."""
    return float(max(image_shape)) if image_shape else max(x[0].shape[2:]) * strides(head)[0]


def joined(parts: Sequence[Outputs], side: float) -> Outputs:
    """All rows together, (1, R, C); what was in sixths of the longer side is in pixels."""
    outputs = {name: torch.cat([part[name] for part in parts], 3) for name in parts[0]}
    outputs = {name: y * (side / 6) if name in CLIPPED else y for name, y in outputs.items()}
    return {n: y.permute(0, 2, 3, 1).reshape(1, -1, y.shape[1]) for n, y in outputs.items()}


def clipped(outputs: Outputs, image_shape: tuple[int, int]) -> Outputs:
    """Outputs in pixels within the longer side of the image, as ReLU6 leaves them."""
    side = float(max(image_shape))
    return {k: y.clamp(0, side) if k in CLIPPED else y for k, y in outputs.items()}


def corners(boxes: Tensor) -> Outputs:
    """Centre, width and height (N, R, 4) as two corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return {"x1y1": centre - half, "x2y2": centre + half}


def decoded(head: nn.Module, output: Any, columns: int, dim: int) -> Tensor:
    """The decoded rows in what a network returned: ``(rows, raw)``, or them alone.

    Of a list, one entry a branch of the head, the last is taken: it is the main one.

    Raises
    ------
    SynetError
        There are none of so many `columns` along `dim`.
    """
    rows = output
    while isinstance(rows, (tuple, list)) and rows:
        rows = rows[0] if isinstance(rows, tuple) else rows[-1]
    if not isinstance(rows, Tensor) or rows.dim() != 3 or rows.shape[dim] != columns:
        found = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        expected = ["N", "R", "R"]
        expected[dim] = str(columns)
        raise SynetError(
            f"{type(head).__name__} returned {found}, where its parts make one expect "
            f"({', '.join(expected)}): it decodes in a way of its own"
        )
    return rows
