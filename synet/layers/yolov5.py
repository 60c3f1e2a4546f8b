"""The detection head of the YOLOv5 line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synet.layers.exporting import current, exporting
from synet.layers.heads import head_form
from synet.layers.named import Named


class Detect(nn.Module, metaclass=Named):
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

    Exported, it gives what every head with anchors gives: see `synet.layers.heads`.
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
        form = head_form(self) if exporting() else None  # alone, or in a network of the user's own
        if form is not None:
            return form.export(self, x, current().image_shape)
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
