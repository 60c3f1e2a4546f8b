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

__all__ = [
    "activations",
    "adaptive",
    "arithmetic",
    "convolution",
    "linear",
    "padding",
    "pooling",
    "resizing",
    "shape",
]
