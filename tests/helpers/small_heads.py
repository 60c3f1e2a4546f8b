"""Detection heads as forks have them: each with their structure, and their decoding spelled out."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from synet.layers import Conv, Conv2d

CHANNELS, STRIDES = (8, 12), (8.0, 16.0)
ANCHORS = ((10.0, 13.0, 16.0, 30.0), (62.0, 45.0, 59.0, 119.0))  # pixels


def grid(raw: Tensor) -> Tensor:
    """Column and row of each cell of (N, anchors, H, W, C): (1, 1, H, W, 2)."""
    h, w = raw.shape[2:4]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack((x, y), -1).view(1, 1, h, w, 2).float()


class Anchors(nn.Module):
    """YOLOv5's: anchors in strides; `in_pixels` keeps them a second time, as older ones do."""

    extra = 0
    implicit = False

    def __init__(self, nc: int = 3, in_pixels: bool = False, channels: tuple = CHANNELS) -> None:
        super().__init__()
        self.nc, self.no, self.nl, self.na = nc, nc + 5 + self.extra, 2, 2
        self.stride = torch.tensor(STRIDES)
        anchors = torch.tensor(ANCHORS).view(2, -1, 2)
        self.register_buffer("anchors", anchors / self.stride.view(-1, 1, 1))
        if in_pixels:
            self.register_buffer("anchor_grid", anchors.clone().view(2, 1, -1, 1, 1, 2))
        else:
            self.anchor_grid = [torch.empty(0)] * 2
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in channels[:2])

    def channels_of(self, x: list[Tensor], level: int) -> Tensor:
        return self.m[level](x[level])

    def forward(self, x: list[Tensor]) -> tuple:
        rows, maps = [], []
        for level, stride in enumerate(self.stride):
            y = self.channels_of(x, level)
            n, _, h, w = y.shape
            y = y.view(n, self.na, self.no, h, w).permute(0, 1, 3, 4, 2)
            pixels = self.anchor_grid[level]
            if not pixels.numel():
                pixels = (self.anchors[level] * stride).view(1, -1, 1, 1, 2)
            rows.append(self.decode(y, grid(y), pixels, stride).reshape(n, -1, self.no))
            maps.append(y)
        return torch.cat(rows, 1), maps

    def decode(self, y: Tensor, cell: Tensor, anchor: Tensor, stride: Tensor) -> Tensor:
        p = y.sigmoid()
        xy = (2 * p[..., :2] - 0.5 + cell) * stride
        return torch.cat((xy, (2 * p[..., 2:4]) ** 2 * anchor, p[..., 4:]), -1)


class Rotated(Anchors):
    """A probability for each of 180 angles behind the classes."""

    extra = 180


class Proto(nn.Module):
    """Prototypes of masks, twice as large as the finest map."""

    def __init__(self, channels: int = CHANNELS[0], masks: int = 4) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, 6, 2, 2)
        self.cv3 = Conv(6, masks)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(self.upsample(x))


class Masks(Anchors):
    """Raw coefficients behind the classes, as YOLOv5 has them."""

    extra = nm = 4

    def __init__(self, nc: int = 3) -> None:
        super().__init__(nc)
        self.proto = Proto()

    def forward(self, x: list[Tensor]) -> tuple:
        rows, maps = super().forward(x)
        return rows, self.proto(x[0]), maps

    def decode(self, y: Tensor, cell: Tensor, anchor: Tensor, stride: Tensor) -> Tensor:
        rows = super().decode(y, cell, anchor, stride)
        return torch.cat((rows[..., : -self.nm], y[..., -self.nm :]), -1)


class Face(Anchors):
    """Five landmarks between objectness and classes."""

    extra = 10

    def decode(self, y: Tensor, cell: Tensor, anchor: Tensor, stride: Tensor) -> Tensor:
        rows = super().decode(y, cell, anchor, stride)
        marks = [y[..., i : i + 2] * anchor + cell * stride for i in range(5, 15, 2)]
        return torch.cat((rows[..., :5], *marks, rows[..., 15:]), -1)


class Implicit(nn.Module):
    def __init__(self, channels: int, mean: float) -> None:
        super().__init__()
        self.implicit = nn.Parameter(mean + 0.3 * torch.randn(1, channels, 1, 1))


class WithImplicit(Anchors):
    """Something added before each convolution, something multiplied behind it."""

    def __init__(self, nc: int = 3, in_pixels: bool = True, channels: tuple = CHANNELS) -> None:
        super().__init__(nc, in_pixels, channels)
        self.ia = nn.ModuleList(Implicit(conv.in_channels, 0) for conv in self.m)
        self.im = nn.ModuleList(Implicit(conv.out_channels, 1) for conv in self.m)

    def channels_of(self, x: list[Tensor], level: int) -> Tensor:
        a, m = self.ia[level].implicit, self.im[level].implicit
        return self.m[level](x[level] + a) * m

    def fuse(self) -> None:
        """Fold both into the convolutions, as forks do: the parts stay where they are."""
        for level, conv in enumerate(self.m):
            a, m = (part[level].implicit.data.flatten() for part in (self.ia, self.im))
            conv.bias.data = (conv.bias.data + conv.weight.data.flatten(1) @ a) * m
            conv.weight.data *= m.view(-1, 1, 1, 1)
        self.forward = self.fuseforward

    def fuseforward(self, x: list[Tensor]) -> tuple:
        self.channels_of = lambda x, level: self.m[level](x[level])
        try:
            return type(self).forward(self, x)
        finally:
            del self.channels_of


class Auxiliary(WithImplicit):
    """A second set of convolutions, on maps of their own, that only training needs."""

    def __init__(self, nc: int = 3) -> None:
        super().__init__(nc, True, CHANNELS * 2)
        self.m2 = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in CHANNELS)

    def forward(self, x: list[Tensor]) -> tuple:
        for conv, auxiliary in zip(self.m2, x[2:], strict=True):
            conv(auxiliary)
        return super().forward(x)


class Keypoints(WithImplicit):
    """Channels of two convolutions, one behind the other, viewed together as anchors."""

    nkpt = 5

    def __init__(self, nc: int = 1, deep: bool = False) -> None:
        super().__init__(nc)
        self.no_det, self.no = nc + 5, nc + 5 + 3 * self.nkpt
        self.m_kpt = nn.ModuleList(
            nn.Sequential(Conv(c, c, 3), nn.Conv2d(c, 3 * self.nkpt * self.na, 1))
            if deep
            else nn.Conv2d(c, 3 * self.nkpt * self.na, 1)
            for c in CHANNELS
        )

    def channels_of(self, x: list[Tensor], level: int) -> Tensor:
        return torch.cat((super().channels_of(x, level), self.m_kpt[level](x[level])), 1)

    def decode(self, y: Tensor, cell: Tensor, anchor: Tensor, stride: Tensor) -> Tensor:
        rows, points = super().decode(y, cell, anchor, stride), []
        for i in range(self.no_det, self.no, 3):
            xy = (2 * y[..., i : i + 2] - 0.5 + cell) * stride
            points += [xy, rows[..., i + 2 : i + 3]]
        return torch.cat((rows[..., : self.no_det], *points), -1)


class Bins(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(count, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data = torch.arange(count, dtype=torch.float).view(1, -1, 1, 1)


def branch(channels: int, out: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(Conv(channels, 16, 3), nn.Conv2d(16, out, 1, groups=groups))


class Distances(nn.Module):
    """YOLOv8's: distances from the centre of a cell to the sides, as `reg_max` bins each."""

    def __init__(self, nc: int = 3, reg_max: int = 16, groups: int = 1) -> None:
        super().__init__()
        self.nc, self.nl, self.reg_max = nc, 2, reg_max
        self.no, self.stride = nc + 4 * reg_max, torch.tensor(STRIDES)
        self.cv2 = nn.ModuleList(branch(c, 4 * reg_max, groups) for c in CHANNELS)
        self.cv3 = nn.ModuleList(branch(c, nc) for c in CHANNELS)
        self.dfl = Bins(reg_max) if reg_max > 1 else nn.Identity()

    def forward(self, x: list[Tensor]) -> tuple:
        raw = self.raw(x, self.cv2, self.cv3)
        return self.decode(raw), raw

    def raw(self, x: list[Tensor], *branches: nn.ModuleList) -> list[Tensor]:
        return [torch.cat([b[i](xi) for b in branches], 1) for i, xi in enumerate(x)]

    def decode(self, raw: list[Tensor], by_corners: bool = False) -> Tensor:
        rows = []
        for y, stride in zip(raw, self.stride, strict=True):
            n, _, h, w = y.shape
            centre = grid(y[:, None].movedim(2, -1))[0, 0].permute(2, 0, 1) + 0.5
            bins = y[:, : 4 * self.reg_max].view(n, 4, self.reg_max, h, w)
            if self.reg_max > 1:
                values = torch.arange(self.reg_max).view(-1, 1, 1)
                sides = (bins.softmax(2) * values).sum(2)
            else:
                sides = bins[:, :, 0]
            low, high = (centre - sides[:, :2]) * stride, (centre + sides[:, 2:]) * stride
            box = (low, high) if by_corners else ((low + high) / 2, high - low)
            scores = y[:, 4 * self.reg_max : 4 * self.reg_max + self.nc].sigmoid()
            rest = self.points(y[:, 4 * self.reg_max + self.nc :], centre, stride)
            rows.append(torch.cat((*box, scores, *rest), 1).flatten(2))
        return torch.cat(rows, 2)

    def points(self, y: Tensor, centre: Tensor, stride: Tensor) -> list[Tensor]:
        return []


class Dual(Distances):
    """Two pairs of branches on maps of their own; the second is the main one."""

    def __init__(self, nc: int = 3) -> None:
        super().__init__(nc)
        self.cv4, self.cv5 = (copy.deepcopy(part) for part in (self.cv2, self.cv3))
        self.dfl2 = Bins(self.reg_max)

    def forward(self, x: list[Tensor]) -> tuple:
        first = self.raw(x[:2], self.cv2, self.cv3)
        second = self.raw(x[2:], self.cv4, self.cv5)
        return [self.decode(first), self.decode(second)], [first, second]


class EndToEnd(Distances):
    """A second set of branches that gives one row an object: returned both ways, as by YOLOv10."""

    def __init__(self, nc: int = 3, reg_max: int = 16) -> None:
        super().__init__(nc, reg_max)
        self.one2one_cv2, self.one2one_cv3 = (copy.deepcopy(p) for p in (self.cv2, self.cv3))

    def forward(self, x: list[Tensor]) -> dict | tuple:
        one = self.raw(x, self.one2one_cv2, self.one2one_cv3)
        return {"one2many": super().forward(x), "one2one": (self.decode(one), one)}


class Picked(EndToEnd):
    """... or only the best rows of the second set, decoded, as by later ones."""

    end2end = True

    def forward(self, x: list[Tensor]) -> tuple:
        raw = {
            "one2many": self.raw(x, self.cv2, self.cv3),
            "one2one": self.raw(x, self.one2one_cv2, self.one2one_cv3),
        }
        return self._inference(raw["one2one"])[..., :6].transpose(1, 2), raw

    def _inference(self, raw: list[Tensor]) -> Tensor:
        return self.decode(raw, by_corners=True)


class Pose(Distances):
    """Keypoints: twice the raw value, in cells from the corner of the cell."""

    def __init__(self, nc: int = 1, kpt_shape: tuple[int, int] = (5, 3), reg_max: int = 16) -> None:
        super().__init__(nc, reg_max)
        self.kpt_shape = kpt_shape
        self.cv4 = nn.ModuleList(branch(c, kpt_shape[0] * kpt_shape[1]) for c in CHANNELS)

    def forward(self, x: list[Tensor]) -> tuple:
        raw = self.raw(x, self.cv2, self.cv3, self.cv4)
        return self.decode(raw), raw

    def points(self, y: Tensor, centre: Tensor, stride: Tensor) -> list[Tensor]:
        found = []
        for part in y.split(self.kpt_shape[1], 1):
            found += [self.place(part[:, :2], centre) * stride, part[:, 2:].sigmoid()]
        return found

    def place(self, y: Tensor, centre: Tensor) -> Tensor:
        return 2 * y + centre - 0.5


class Pose26(Pose):
    """YOLO26's: raw values from the centre, out of convolutions of their own."""

    def __init__(self) -> None:
        super().__init__(reg_max=1)
        ends = [layer[1] for layer in self.cv4]
        self.cv4_kpts = nn.ModuleList(ends)
        self.cv4 = nn.ModuleList(layer[:1] for layer in self.cv4)

    def forward(self, x: list[Tensor]) -> tuple:
        raw = self.raw(x, self.cv2, self.cv3)
        ends = zip(self.cv4, self.cv4_kpts, x, strict=True)
        told = [kpts(stem(xi)) for stem, kpts, xi in ends]
        joined = [torch.cat(pair, 1) for pair in zip(raw, told, strict=True)]
        return self.decode(joined), raw

    def place(self, y: Tensor, centre: Tensor) -> Tensor:
        return y + centre


class Segment(Distances):
    """Coefficients of masks, and prototypes."""

    nm = 4

    def __init__(self, nc: int = 3) -> None:
        super().__init__(nc)
        self.cv4, self.proto = nn.ModuleList(branch(c, self.nm) for c in CHANNELS), Proto()

    def forward(self, x: list[Tensor]) -> tuple:
        raw = self.raw(x, self.cv2, self.cv3)
        coefficients = torch.cat([b(xi).flatten(2) for b, xi in zip(self.cv4, x, strict=True)], 2)
        rows = torch.cat((self.decode(raw), coefficients), 1)
        return rows, (raw, coefficients, self.proto(x[0]))


class Rotated8(Distances):
    """YOLOv8's rotated boxes: distances along the axes of the box, whose angle is told apart."""

    ne = 1

    def __init__(self, nc: int = 3, reg_max: int = 16, raw: bool = False) -> None:
        super().__init__(nc, reg_max)
        self.is_raw, self.cv4 = raw, nn.ModuleList(branch(c, 1) for c in CHANNELS)

    def forward(self, x: list[Tensor]) -> tuple:
        raw = self.raw(x, self.cv2, self.cv3)
        angle = torch.cat([b(xi).flatten(2) for b, xi in zip(self.cv4, x, strict=True)], 2)
        angle = angle if self.is_raw else (angle.sigmoid() - 0.25) * math.pi
        if self.training:
            return raw, angle
        x1, y1, x2, y2, scores = self.decode(raw, by_corners=True).split((1, 1, 1, 1, self.nc), 1)
        cells = [
            ((grid(y[:, None].movedim(2, -1))[0, 0] + 0.5) * s).flatten(0, 1)
            for y, s in zip(raw, self.stride, strict=True)
        ]
        cx, cy = torch.cat(cells).T
        x, y = (x1 + x2) / 2 - cx, (y1 + y2) / 2 - cy
        centre = (cx + x * angle.cos() - y * angle.sin(), cy + x * angle.sin() + y * angle.cos())
        return torch.cat((*centre, x2 - x1, y2 - y1, scores, angle), 1), (raw, angle)


class Classify(nn.Module):
    """A convolution, the mean of the image, a linear layer; `logits`: without the softmax."""

    stride = torch.ones(1)

    def __init__(self, nc: int = 3, logits: bool = False) -> None:
        super().__init__()
        self.nc, self.logits = nc, logits
        self.conv, self.pool = Conv(CHANNELS[0], 16), nn.AdaptiveAvgPool2d(1)
        self.drop, self.linear = nn.Dropout(0.0), nn.Linear(16, nc)

    def forward(self, x: Tensor | list[Tensor]) -> Tensor | tuple:
        (x,) = x if isinstance(x, list) else [x]
        y = self.linear(self.drop(self.pool(self.conv(x)).flatten(1)))
        return y if self.training or self.logits else (y.softmax(1), y)


class Never(nn.Module):
    """A row that no export may run."""

    def forward(self, x: Tensor) -> Tensor:
        return x.erfinv()


def stem(channels: int, out: int, stride: float) -> nn.Sequential:
    steps = round(math.log2(stride))
    sizes = [channels, *[4] * (steps - 1), out]
    return nn.Sequential(*(Conv2d(a, b, 3, 2) for a, b in pairwise(sizes)))


class Network(nn.Module):
    """An image, maps at each stride, a head: a YOLO's rows, built under the patch."""

    def __init__(self, head: nn.Module, inputs: int = 2, channels: int = 1) -> None:
        super().__init__()
        levels = [*zip(CHANNELS, STRIDES, strict=True)] * 2
        self.model = nn.Sequential(*(stem(channels, *each) for each in levels[:inputs]), head)
        for i, row in enumerate(self.model):
            row.i, row.f = i, -1 - i  # each reads the image
        head.f = list(range(inputs))
        self.synet = {"chip": "katana", "channels": channels}
        self.yaml, self.stride = {"nc": head.nc, "ch": 3}, head.stride
        self.names = {i: str(i) for i in range(head.nc)}

    def forward(self, image: Tensor) -> object:
        return self.model[-1]([self.model[i](image) for i in self.model[-1].f])


def network(head: nn.Module, inputs: int = 2, seed: int = 0) -> Network:
    """A network with random weights that spread boxes over the image, in evaluation mode."""
    made = Network(head, inputs)
    torch.manual_seed(seed)
    with torch.no_grad():
        for part in made.modules():
            kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
            if isinstance(part, kinds) and part.weight.requires_grad:
                nn.init.normal_(part.weight, std=2 / part.weight[0].numel() ** 0.5)
                nn.init.normal_(part.bias) if part.bias is not None else None
    return made.eval()
