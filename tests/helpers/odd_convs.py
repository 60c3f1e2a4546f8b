"""Convolutions of forks that have names, an order or defaults of their own."""

from __future__ import annotations

from torch import nn


class Block(nn.Module):
    def __init__(self, c1, c2, k, s, p=None, g=1, act=nn.SiLU, bias=False):
        super().__init__()
        padding = k // 2 if p is None else p
        self.conv = nn.Conv2d(c1, c2, k, s, padding, groups=g, bias=bias)
        self.norm = nn.BatchNorm2d(c2)
        self.act = act() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class CBA(Block):
    """A larger kernel where none is given."""

    def __init__(self, cin, cout, kernel=3, stride=1, act=True):
        super().__init__(cin, cout, kernel, stride, act=nn.SiLU if act else None)


class StrideFirst(Block):
    def __init__(self, cin, cout, stride=1, kernel=3, groups=1, activation="relu"):
        act = nn.ReLU if activation == "relu" else None
        super().__init__(cin, cout, kernel, stride, g=groups, act=act)


class BaseConv(Block):
    """YOLOX's order."""

    def __init__(self, in_channels, out_channels, ksize, stride, groups=1, bias=False, act="silu"):
        super().__init__(in_channels, out_channels, ksize, stride, g=groups, bias=bias)


class Linear(Block):
    """None activates nothing."""

    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=None):
        super().__init__(c1, c2, k, s, p, g, act)


class Default(Block):
    """None stands for the default activation, and a padding of 0 for half of the kernel."""

    def __init__(self, c1, c2, k=3, s=1, padding=0, act=None):
        super().__init__(c1, c2, k, s, padding or None, act=act or nn.SiLU)


class Padded(Block):
    """A padding that means what it says."""

    def __init__(self, cin, cout, kernel=3, stride=1, padding=1):
        super().__init__(cin, cout, kernel, stride, padding)


class Fixed(Block):
    """Kernel and stride are no parameters."""

    def __init__(self, cin, cout, act=True):
        super().__init__(cin, cout, 3, 2, act=nn.SiLU if act else None)


class Computed(Block):
    """A kernel that its default does not tell."""

    def __init__(self, cin, cout, kernel=None, stride=None):
        super().__init__(cin, cout, kernel or 5, stride or 2)


class Strange(Block):
    """Names that nobody knows, in an order of their own."""

    def __init__(self, here, there, step=1, size=1):
        super().__init__(here, there, size, step)


class ActFourth(Block):
    def __init__(self, c1, c2, k=1, act=True):
        super().__init__(c1, c2, k, 1, act=nn.SiLU if act else None)


class Open(Block):
    def __init__(self, c1, c2, k=3, **more):
        super().__init__(c1, c2, k, **{"s": 1} | more)


def form(module: nn.Module) -> dict:
    """What a convolution is, whoever built it."""
    (conv,) = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    return {
        "channels": (conv.in_channels, conv.out_channels),
        "kernel": conv.kernel_size,
        "stride": conv.stride,
        "groups": conv.groups,
        "act": not isinstance(module.act, nn.Identity),
    }
