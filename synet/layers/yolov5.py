"""The detection head of the YOLOv5 line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.export.context import exporting


class Detect(nn.Module):
    """YOLOv5's anchor-based head: same attributes, same training output, a chip-safe export.

    Parameters
    ----------
    nc
        Classes.
    anchors
        For each level a flat list of widths and heights in pixels (in strides once the
        model that holds the head has been built, as in YOLOv5).
    ch
        Channels of each level's feature map.
    inplace
        Kept for the fork's code; nothing here is done in place.

    Notes
    -----
    Training returns, for each level, raw values (N, anchors, H, W, 5 + nc). Evaluation
    returns ``(predictions, raw)`` with predictions (N, rows, 5 + nc): centre, width and height
    in input pixels, objectness and class probabilities, rows ordered level, anchor, y, x.

    Exported, it gives three tensors, so that each has its own int8 scale: ``x1y1`` and
    ``x2y2`` (1, rows, 2) in input pixels, clipped to the image, and ``scores``
    (1, rows, nc), objectness times class; rows are ordered as in evaluation.
    """

    stride: Tensor | None = None  # set by the model once it knows
    dynamic = False
    export = False

    def __init__(
        self,
        nc: int = 80,
        anchors: Sequence[Sequence[float]] = (),
        ch: Sequence[int] = (),
        inplace: bool = True,
    ) -> None:
        super().__init__()
        self.nc, self.no = nc, nc + 5
        self.nl, self.na = len(anchors), len(anchors[0]) // 2
        self.inplace = inplace
        self.grid = [torch.empty(0)] * self.nl
        self.anchor_grid = [torch.empty(0)] * self.nl
        self.register_buffer("anchors", torch.tensor(anchors).float().view(self.nl, -1, 2))
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in ch)

    def forward(self, x: list[Tensor]) -> list[Tensor] | tuple:  # noqa: D102
        if exporting():
            return self._export(x)
        x = [self._raw(conv(xi)) for conv, xi in zip(self.m, x, strict=True)]
        if self.training:
            return x
        predictions = torch.cat([self._decode(raw, i) for i, raw in enumerate(x)], 1)
        return (predictions,) if self.export else (predictions, x)

    def _raw(self, x: Tensor) -> Tensor:
        """(N, anchors * no, H, W) to (N, anchors, H, W, no)."""
        n, _, h, w = x.shape
        return x.view(n, self.na, self.no, h, w).permute(0, 1, 3, 4, 2).contiguous()

    def _decode(self, raw: Tensor, level: int) -> Tensor:
        n, na, h, w, _ = raw.shape
        if self.dynamic or self.grid[level].shape[2:4] != raw.shape[2:4]:
            self.grid[level], self.anchor_grid[level] = self._make_grid(w, h, level)
        # A segmentation head has mask coefficients behind the classes: they stay raw.
        xy, wh, conf, mask = raw.split((2, 2, self.nc + 1, self.no - self.nc - 5), 4)
        xy = (xy.sigmoid() * 2 + self.grid[level]) * self.stride[level]
        wh = (wh.sigmoid() * 2) ** 2 * self.anchor_grid[level]
        return torch.cat((xy, wh, conf.sigmoid(), mask), 4).view(n, na * h * w, self.no)

    def _make_grid(self, nx: int = 20, ny: int = 20, i: int = 0) -> tuple[Tensor, Tensor]:
        """Cell origins less half a cell, and anchors in pixels: (1, anchors, ny, nx, 2) each."""
        like = {"device": self.anchors.device, "dtype": self.anchors.dtype}
        y, x = torch.meshgrid(torch.arange(ny, **like), torch.arange(nx, **like), indexing="ij")
        shape = 1, self.na, ny, nx, 2
        grid = torch.stack((x, y), 2).expand(shape) - 0.5
        anchors = (self.anchors[i] * self.stride[i]).view(1, self.na, 1, 1, 2).expand(shape)
        return grid, anchors

    def as_exported(self, predictions: Tensor, raw: list[Tensor]) -> dict[str, Tensor]:
        """What an evaluation returns, in the form of the export, to compare the two."""
        centre, half = predictions[..., :2], predictions[..., 2:4] / 2
        side = self._side(raw[0].shape[2:4])
        return {
            "x1y1": (centre - half).clamp(0, side),
            "x2y2": (centre + half).clamp(0, side),
            "scores": predictions[..., 4:5] * predictions[..., 5 : 5 + self.nc],
        }

    def _side(self, cells: Sequence[int]) -> float:
        """The longer side of the image in pixels, from the cells of the finest level."""
        return max(cells) * float(self.stride[0])

    def _export(self, x: list[Tensor]) -> dict[str, Tensor]:
        # Boxes are computed in sixths of the longer side: ReLU6 then clips them to the image,
        # which keeps the int8 scale at one step in 255 of it.
        side = self._side(x[0].shape[2:])
        parts = [
            self._one_anchor(xi, level, anchor, 6 / side)
            for level, xi in enumerate(x)
            for anchor in range(self.na)
        ]
        first, second, scores = (torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
        return {"x1y1": first * (side / 6), "x2y2": second * (side / 6), "scores": scores}

    def _one_anchor(
        self, x: Tensor, level: int, anchor: int, unit: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Corners (1, H*W, 2), in `unit` per pixel, and scores (1, H*W, nc) of one anchor.

        With s = sigmoid(xy) and q = sigmoid(wh)**2 YOLOv5's decoding is
        ``centre = (2 s - 0.5 + cell) stride`` and ``half size = 2 q anchor``. Anchors are kept
        apart because in one int8 tensor the largest would set the step of all.
        """
        _, _, h, w = x.shape
        stride = float(self.stride[level])
        reach = (2 * stride * unit * self.anchors[level, anchor]).view(1, 1, 2)
        s = self._branch(x, level, anchor, 0, 2)
        q = self._branch(x, level, anchor, 2, 4)
        q = q * q
        coarse, fine = _two_constants(h, w, stride, unit)
        centre = s * (2 * stride * unit) + fine
        objectness = self._branch(x, level, anchor, 4, 5)
        return (
            F.relu6(centre + q * -reach + coarse),
            F.relu6(centre + q * reach + coarse),
            objectness * self._branch(x, level, anchor, 5, 5 + self.nc),
        )

    def _branch(self, x: Tensor, level: int, anchor: int, start: int, stop: int) -> Tensor:
        """Sigmoid of values `start` to `stop` of an anchor: (1, C, H, W) to (1, H*W, values).

        A convolution of their own gives them an int8 scale of their own: objectness of -12
        would leave the boxes a few levels. And no slice is needed.
        """
        rows = slice(anchor * self.no + start, anchor * self.no + stop)
        y = F.conv2d(x, self.m[level].weight[rows], self.m[level].bias[rows])
        return y.sigmoid().permute(0, 2, 3, 1).reshape(1, -1, stop - start)


def _two_constants(h: int, w: int, stride: float, unit: float) -> tuple[Tensor, Tensor]:
    """Origins ``(cell - 0.5) * stride * unit`` as coarse + fine, (1, h*w, 2) each.

    As one int8 constant they would be off by up to half of 1/255 of the image. `coarse` has
    exactly 256 equidistant values, which int8 holds exactly, and `fine`, the small
    rest, has a scale of its own.
    """
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    origin = (np.stack((x, y), -1).reshape(1, -1, 2) - 0.5) * stride * unit
    step = max(np.ptp(origin), stride * unit) / 255
    coarse = np.round(origin / step) * step
    return tuple(torch.from_numpy(a.astype(np.float32)) for a in (coarse, origin - coarse))
