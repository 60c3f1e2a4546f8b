"""What is left of a branch of a detection head whose stem was taken away."""

from __future__ import annotations

from torch import nn


class LastConv2d(nn.Conv2d):
    """The 1x1 convolution that a branch ends in, alone.

    ultralytics asks the first layer of a branch for its convolution, to tell its width.
    """

    @property
    def conv(self) -> nn.Conv2d:
        """Itself."""
        return self
