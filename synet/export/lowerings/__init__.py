"""The entries of the table, a family a module.

Importing this package fills the table: whoever reads it imports it from here.
"""

from synet.export.lowerings import (
    activations,
    arithmetic,
    convolution,
    linear,
    padding,
    pooling,
    resizing,
    shape,
)
from synet.export.table import (
    KEEPS_PADDING,
    OPERATIONS,
    TABLE,
    in_order,
    lower,
    settle,
    torch_names,
)

__all__ = [
    "KEEPS_PADDING",
    "OPERATIONS",
    "TABLE",
    "activations",
    "arithmetic",
    "convolution",
    "in_order",
    "linear",
    "lower",
    "padding",
    "pooling",
    "resizing",
    "settle",
    "shape",
    "torch_names",
]
