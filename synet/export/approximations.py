"""What one TFLite operation can stand for, and how far off it is.

A chip whose compiler makes one operation a table has it at no cost behind a convolution, where the
function that a network was trained with takes several. ``c * operation(x / c)`` may be nearer to
that function than the operation itself, and costs no more: see `synet.export.factors`.

Others that YOLOs are trained with have no such operation. Nearest are, for ELU, LEAKY_RELU, 0.44
off; for Softplus RELU, 0.69 off: as much as the functions are worth where they bend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synet.export.pointwise import FUNCTIONS, GRID
from synet.layers.activations import SILU_SCALE

EDGES = np.linspace(-12, 12, 481)  # of bins that values are counted in; none is off beyond them
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2

Function = Callable[[np.ndarray], np.ndarray]


def silu(x: np.ndarray) -> np.ndarray:
    """Of which torch's ``SiLU`` is the layer."""
    return x / (1 + np.exp(-x))


def mish(x: np.ndarray) -> np.ndarray:
    """Of which torch's ``Mish`` is the layer."""
    return x * np.tanh(np.logaddexp(0, x))


def gelu(x: np.ndarray) -> np.ndarray:
    """What TFLite's GELU computes."""
    return FUNCTIONS["GELU"](x)


def hard_swish(x: np.ndarray) -> np.ndarray:
    """What TFLite's HARD_SWISH computes."""
    return x * np.clip(x + 3, 0, 6) / 6


@dataclass(frozen=True)
class Approximation:
    """One operation in the place of a function.

    Parameters
    ----------
    was
        What the function is called.
    exact
        The function.
    by
        The TFLite operation.
    nearby
        What that computes.
    factors
        The least and the largest ``c`` that is ever best: where all values are near 0, and where
        any may come.
    error
        The largest difference, over all numbers, at the ``c`` for which that is the least.
    is_close
        Is that within a step of int8 where a layer's values reach 8? Others stand in only for who
        asks for them.
    is_folded
        Is ``c * operation(x)`` meant, whose other factor is in the weights before already?

    Attributes
    ----------
    is_exact
        Are the two the same, so that nothing but the factors is to be done away with?
    """

    was: str
    exact: Function
    by: str
    nearby: Function
    factors: tuple[float, float]
    error: float
    is_close: bool = False
    is_folded: bool = False

    @property
    def is_exact(self) -> bool:  # noqa: D102
        return self.error == 0

    @property
    def freedom(self) -> float:
        """How far the factors reach."""
        return self.factors[1] - self.factors[0]

    def is_of(self, values: np.ndarray) -> bool:
        """Is the function the one that has these values on `synet.export.pointwise.GRID`?"""
        return bool(np.allclose(values, self.exact(GRID), rtol=1e-4, atol=1e-4))

    def errors(self, x: np.ndarray, factor: float) -> np.ndarray:
        """The difference at each `x`."""
        return self.exact(x) - factor * self.nearby(x if self.is_folded else x / factor)

    def largest_error(self, low: float, high: float, factor: float) -> float:
        """Between two numbers, without its sign."""
        return float(np.abs(self.errors(np.linspace(low, high, 2048), factor)).max())

    def mean_error(self, shares: np.ndarray, factor: float) -> float:
        """The root of its mean square, where `shares` of the values lie at `MIDDLES`."""
        return float(np.sqrt(shares @ self.errors(MIDDLES, factor) ** 2))

    def best_factor(self, shares: np.ndarray) -> float:
        """The ``c`` of the least mean error, of three digits."""
        least, most = self.factors
        tried = np.round(np.arange(least, most + 0.0005, 0.001), 3).tolist()
        return min(tried, key=lambda factor: self.mean_error(shares, factor))


def scaled_gelu(x: np.ndarray) -> np.ndarray:
    """Of which `synet.layers.activations.SiLU` is the layer."""
    return SILU_SCALE * gelu(x / SILU_SCALE)


def folded_gelu(x: np.ndarray) -> np.ndarray:
    """What is left of it behind a convolution, to which the converter gives the first factor."""
    return SILU_SCALE * gelu(x)


_SCALED = (SILU_SCALE, SILU_SCALE)
TABLE = (
    Approximation("GELU", scaled_gelu, "GELU", gelu, _SCALED, 0.0, is_close=True),
    Approximation("GELU", folded_gelu, "GELU", gelu, _SCALED, 0.0, is_close=True, is_folded=True),
    Approximation("SiLU", silu, "GELU", gelu, (1.596, 1.773), 0.0247, is_close=True),
    Approximation("SiLU", silu, "HARD_SWISH", hard_swish, (0.667, 1.048), 0.1299),
    Approximation("Mish", mish, "GELU", gelu, (1.247, 1.375), 0.1108),
)
