"""The activations that a network for a chip is built with, in the very form that the chip runs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# Of all factors the one that brings the two nearest to each other: nowhere more than 0.0248 apart.
SILU_SCALE = 1.772


class SiLU(nn.Module):  # type: ignore[misc]
    """SiLU as a chip has it: ``c GELU(x / c)``, which is one operation where SiLU itself is two.

    Both factors vanish into the convolutions around it when it is exported. Training sees the
    same function, so nothing is lost between the two.

    Parameters
    ----------
    inplace
        As forks ask for it; no memory is saved.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.gelu(x / SILU_SCALE) * SILU_SCALE


# By the names that chips' files have for them.
CLASSES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": SiLU,
    "hardswish": nn.Hardswish,
}
