"""Composite layers of the zoo: constructors take ``(c1, c2, *args)`` as YOLO's do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synet.layers.basic import MaxPool2d
from synet.layers.conv import Conv


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project: the cheap convolution of MobileNetV2.

    (N, c1, H, W) to (N, c2, ceil(H/stride), ceil(W/stride)). The input is added to the
    output where both have one shape. Source: Sandler et al. 2018, arXiv:1801.04381.

    Parameters
    ----------
    c1, c2
        Channels of input and output.
    stride
        Of the depthwise convolution.
    expand
        Hidden channels over `c1`; the hidden tensors are the memory peak of the block.
    k
        Kernel size of the depthwise convolution.
    """

    def __init__(self, c1: int, c2: int, stride: int = 1, expand: float = 4, k: int = 3) -> None:
        super().__init__()
        hidden = round(c1 * expand)
        self.add = stride == 1 and c1 == c2
        self.expand = Conv(c1, hidden) if hidden != c1 else nn.Identity()
        self.depthwise = Conv(hidden, hidden, k, stride, g=hidden)
        self.project = Conv(hidden, c2, act=False)

    @classmethod
    def repeated(cls, c1: int, c2: int, stride: int = 1, *rest: float) -> InvertedResidual:
        """The second and later of a stack: only the first one strides."""
        return cls(c1, c2, 1, *rest)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.add else y


class CSP(nn.Module):
    """Half of the channels through full 3x3 convolutions, beside the other half as it came.

    (N, c1, H, W) to (N, c2, H, W). Cross-stage partial (Wang et al. 2019, arXiv:1911.11929)
    without sums: on an NPU a sum may take longer than the convolution before it, and so may
    joining images that something else reads, too. Here each branch writes its share of
    the joined image itself, and the branch that came as it was carries the gradient past
    the convolutions.

    Parameters
    ----------
    c1, c2
        Channels of input and output.
    n
        3x3 convolutions in a row.
    hidden
        Channels of each branch. Default: half of `c2`.
    """

    def __init__(self, c1: int, c2: int, n: int = 1, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or c2 // 2
        self.cv1 = Conv(c1, hidden)
        self.cv2 = Conv(c1, hidden)
        self.m = nn.Sequential(*(Conv(hidden, hidden, 3) for _ in range(n)))
        self.cv3 = Conv(2 * hidden, c2)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class Head(nn.Module):
    """The last look before a detection layer: depthwise k x k, then 1x1, both with ReLU6.

    (N, c1, H, W) to (N, c2, H, W), at a ninth of the cost of a full 3x3 convolution.
    """

    def __init__(self, c1: int, c2: int, k: int = 3) -> None:
        super().__init__()
        self.depthwise = Conv(c1, c1, k, g=c1)
        self.pointwise = Conv(c1, c2)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.pointwise(self.depthwise(x))


class Stem(nn.Module):
    """Two strided convolutions, the first one narrow: (N, c1, H, W) to (N, c2, H/4, W/4).

    At half resolution every channel costs a quarter of the input image, so the largest
    tensors of a network are those of its first layer.

    Parameters
    ----------
    c1, c2
        Channels of input and output.
    hidden
        Channels at half resolution.
    """

    def __init__(self, c1: int, c2: int, hidden: int = 4) -> None:
        super().__init__()
        self.first = Conv(c1, hidden, 3, 2)
        self.second = Conv(hidden, c2, 3, 2)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.second(self.first(x))


class SPPF(nn.Module):
    """Maxima over ever larger windows beside the image itself: (N, c1, H, W) to (N, c2, H, W).

    Older YOLOs have no layer of this name, so that a zoo model brings its own.

    Parameters
    ----------
    c1, c2
        Channels of input and output.
    k
        Window of one pooling; three in a row see k, 2k - 1 and 3k - 2 pixels.
    """

    def __init__(self, c1: int, c2: int, k: int = 5) -> None:
        super().__init__()
        self.cv1 = Conv(c1, c1 // 2)
        self.cv2 = Conv(c1 // 2 * 4, c2)
        self.m = MaxPool2d(k)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        seen = [self.cv1(x)]
        for _ in range(3):
            seen.append(self.m(seen[-1]))
        return self.cv2(torch.cat(seen, 1))


class Mixer(nn.Module):
    """What takes the place of attention: every pixel looks at its neighbours, then channels mix.

    A depthwise convolution as wide as small chips have, and a 1x1 convolution without activation:
    (N, c1, H, W) to (N, c2, H, W). Attention's own output has no activation either, and is
    added to something.
    """

    def __init__(self, c1: int, c2: int, k: int = 7) -> None:
        super().__init__()
        self.depthwise = Conv(c1, c1, k, g=c1)
        self.project = Conv(c1, c2, act=False)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.project(self.depthwise(x))
