"""The entries of the table, a family a module.

Importing this package fills the table: whoever reads it imports it from here.
"""

from synet.export.lowerings import (
    activations,
    adaptive,
    arithmetic,
    convolution,
    linear,
    padding,
    pooling,
    resizing,
    shape,
)
from synet.export.table import (
    TABLE,
    in_order,
    lower,
    lowering_of,
    settle,
)

__all__ = [
    "TABLE",
    "activations",
    "adaptive",
    "arithmetic",
    "convolution",
    "in_order",
    "linear",
    "lower",
    "lowering_of",
    "padding",
    "pooling",
    "resizing",
    "settle",
    "shape",
]
