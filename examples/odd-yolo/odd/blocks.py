"""Building blocks."""

import torch
from torch import nn


class CBA(nn.Module):
    def __init__(self, cin, cout, kernel=1, stride=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(cout)
        self.act = nn.SiLU() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Twin(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, cin, cout):
        super().__init__()
        self.short = CBA(cin, cout)
        self.body = nn.Sequential(CBA(cin, cout // 2), CBA(cout // 2, cout, kernel=3))

    def forward(self, x):
        return self.short(x) + self.body(x)


class Join(nn.Module):
    def __init__(self, axis=1):
        super().__init__()
        self.axis = axis

    def forward(self, maps):
        return torch.cat(maps, self.axis)
