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
    (1, rows, nc), objectness times class; rows are ordered level, y, x, anchor.
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
        """What an evaluation returns, in the order and form of the export, to compare the two."""
        levels, start = [], 0
        for _, na, h, w, _ in (level.shape for level in raw):
            rows = predictions[:, start : start + na * h * w].view(-1, na, h, w, self.no)
            levels.append(rows.permute(0, 2, 3, 1, 4).flatten(1, 3))
            start += na * h * w
        rows = torch.cat(levels, 1)
        centre, half = rows[..., :2], rows[..., 2:4] / 2
        side = self._side(raw[0].shape[2:4])
        return {
            "x1y1": (centre - half).clamp(0, side),
            "x2y2": (centre + half).clamp(0, side),
            "scores": rows[..., 4:5] * rows[..., 5 : 5 + self.nc],
        }

    def _side(self, cells: Sequence[int]) -> float:
        """The longer side of the image in pixels, from the cells of the finest level."""
        return max(cells) * float(self.stride[0])

    def _export(self, x: list[Tensor]) -> dict[str, Tensor]:
        corners, scores = [], []
        # Boxes are computed in sixths of the longer side: ReLU6 then clips them to the image,
        # which keeps the int8 scale at one step in 255 of it.
        side = self._side(x[0].shape[2:])
        for level, xi in enumerate(x):
            corners.append(self._corners(xi, level, 6 / side))
            objectness = self._branch(xi, level, 4, 5).sigmoid()
            classes = self._branch(xi, level, 5, 5 + self.nc).sigmoid()
            scores.append((objectness * classes).reshape(1, -1, self.nc))
        first, second = (torch.cat(levels, 1) * (side / 6) for levels in zip(*corners, strict=True))
        return {"x1y1": first, "x2y2": second, "scores": torch.cat(scores, 1)}

    def _branch(self, x: Tensor, level: int, start: int, stop: int) -> Tensor:
        """Values `start` to `stop` of each anchor: (1, C, H, W) to (1, H*W, anchors, values).

        A convolution of their own gives them an int8 scale of their own: objectness of -12
        would leave the boxes a few levels, and no slice is needed.
        """
        conv = self.m[level]
        weight = conv.weight.view(self.na, self.no, -1, 1, 1)[:, start:stop].flatten(0, 1)
        bias = conv.bias.view(self.na, self.no)[:, start:stop].flatten()
        y = F.conv2d(x, weight, bias)
        return y.permute(0, 2, 3, 1).reshape(1, -1, self.na, stop - start)

    def _corners(self, x: Tensor, level: int, unit: float) -> tuple[Tensor, Tensor]:
        """Both corners of every box, in `unit` per pixel: (1, H*W*anchors, 2) each.

        With s = sigmoid(xy) and q = sigmoid(wh)**2 YOLOv5's decoding is
        ``centre = (2 s - 0.5 + cell) stride`` and ``half size = 2 q anchor``.
        """
        _, _, h, w = x.shape
        stride = float(self.stride[level])
        anchors = self.anchors[level].view(1, 1, self.na, 2) * stride
        s = self._branch(x, level, 0, 2).sigmoid()
        q = self._branch(x, level, 2, 4).sigmoid()
        q = q * q
        coarse, fine = _two_constants(h, w, stride, unit)
        centre = s * (2 * stride * unit) + fine
        corners = [
            F.relu6(centre + q * (sign * 2 * unit * anchors) + coarse) for sign in (-1.0, 1.0)
        ]
        return tuple(corner.reshape(1, -1, 2) for corner in corners)


def _two_constants(h: int, w: int, stride: float, unit: float) -> tuple[Tensor, Tensor]:
    """Origins ``(cell - 0.5) * stride * unit`` as coarse + fine, (1, h*w, 1, 2) each.

    As one int8 constant they would be off by up to half of 1/255 of the image. `coarse` has
    exactly 256 equidistant values, which int8 holds exactly, and `fine`, the small
    rest, has a scale of its own.
    """
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    origin = (np.stack((x, y), -1).reshape(1, -1, 1, 2) - 0.5) * stride * unit
    step = max(np.ptp(origin), stride * unit) / 255
    coarse = np.round(origin / step) * step
    as_tensor = lambda a: torch.from_numpy(a.astype(np.float32))  # noqa: E731
    return as_tensor(coarse), as_tensor(origin - coarse)
