"""The entries of the table, a family a module.

Importing this package fills the table: whoever reads it imports it from here.
"""

from synet.export.lowerings import activations, arithmetic, convolution, linear, shape
from synet.export.table import OPERATIONS, TABLE, in_order, lower, settle

__all__ = [
    "OPERATIONS",
    "TABLE",
    "activations",
    "arithmetic",
    "convolution",
    "in_order",
    "linear",
    "lower",
    "settle",
    "shape",
]
