"""The detection head."""

import torch
from torch import nn


class BoxHead(nn.Module):
    """Anchors as in YOLOv5: raw maps in training, decoded rows (N, R, 5 + nc) otherwise."""

    def __init__(self, nc, anchors, ch):
        super().__init__()
        self.nc, self.no = nc, nc + 5
        self.nl, self.na = len(anchors), len(anchors[0]) // 2
        self.stride = None
        self.register_buffer("anchors", torch.tensor(anchors).float().view(self.nl, -1, 2))
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in ch)

    def forward(self, maps):
        raw, rows = [], []
        for level, x in enumerate(maps):
            y = self.m[level](x)
            n, _, h, w = y.shape
            y = y.view(n, self.na, self.no, h, w).permute(0, 1, 3, 4, 2)
            raw.append(y)
            if not self.training:
                rows.append(self.decode(y.sigmoid(), level).reshape(n, -1, self.no))
        return raw if self.training else (torch.cat(rows, 1), raw)

    def decode(self, y, level):
        _, _, h, w, _ = y.shape
        cells = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1)
        centre = (y[..., :2] * 2 - 0.5 + cells) * self.stride[level]
        size = (y[..., 2:4] * 2) ** 2 * (self.anchors[level] * self.stride[level]).view(-1, 1, 1, 2)
        return torch.cat((centre, size, y[..., 4:]), -1)
