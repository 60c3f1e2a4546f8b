"""A YOLO's rows, run without the class of the fork that built them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn


class Network(nn.Module):
    """Takes the place of a fork's ``Model`` that is not here.

    It is made by filling, from a checkpoint: ``model`` is the sequence of rows, of which
    each says where it takes its input from (``f``: -1 for the row before) and which it is
    (``i``); ``save`` tells whose outputs are needed again. Whatever else hung on the fork's
    model (``yaml``, ``names``, ``stride``, ``nc``, ``synet``, ...) hangs on this one.
    """

    model: nn.Sequential
    save: list[int]

    def forward(self, x: torch.Tensor) -> Any:
        """Run all rows.

        Parameters
        ----------
        x
            Images, (batch, channels, height, width), 0 to 1.

        Returns
        -------
        What the last row, the detection head, returns.
        """
        outputs: dict[int, Any] = {}
        for row in self.model:
            sources = row.f if isinstance(row.f, (list, tuple)) else [row.f]
            # counted from this row where negative; the row before may be needed only here
            inputs = [x if f == -1 else outputs[f % row.i] for f in sources]
            x = row(inputs if isinstance(row.f, (list, tuple)) else inputs[0])
            if row.i in self.save:
                outputs[row.i] = x
        return x

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Network:
        """Take along the tensors that a head keeps beside its buffers: its strides, its grid."""
        super()._apply(fn, *args, **kwargs)
        for row in self.model:
            for name, value in vars(row).items():
                if isinstance(value, torch.Tensor):
                    setattr(row, name, fn(value))
                elif isinstance(value, list) and all(isinstance(x, torch.Tensor) for x in value):
                    setattr(row, name, [fn(x) for x in value])
        return self


def is_row(attributes: Mapping[str, Any]) -> bool:
    """Does a layer with these attributes say which row it is, and where its input comes from?"""
    source = attributes.get("f")
    sources = source if isinstance(source, (list, tuple)) and source else [source]
    return type(attributes.get("i")) is int and all(type(f) is int for f in sources)
