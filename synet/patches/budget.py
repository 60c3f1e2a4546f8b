"""A limit to what a model may take while it is built: a row of four numbers can be terabytes."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from synet.system.errors import SynetError

MOST_BYTES = 640 * 2**20  # the largest YOLOs have 150 million weights, and a chip runs one
MOST_TENSORS = 50_000

_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye}
_MAKERS |= {torch.arange, torch.linspace}


class Budget(TorchFunctionMode):
    """Counts what tensors are made within the block, and refuses the one that is too much.

    Raises
    ------
    SynetError
        Out of the function that would have made it, and before it is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.tensors = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _MAKERS:
            self.tensors += 1
            self.bytes += _bytes(func, args, kwargs)
            if self.bytes > MOST_BYTES or self.tensors > MOST_TENSORS:
                raise SynetError(
                    f"up to here the model takes {self.bytes / 2**20:.0f} MiB in {self.tensors} "
                    f"tensors; {MOST_BYTES / 2**20:.0f} MiB in {MOST_TENSORS} is the most"
                )
        return func(*args, **kwargs)


def _bytes(func: Any, args: tuple, kwargs: dict) -> int:
    """What a function would take, found by making nothing."""
    described = {key: value for key, value in kwargs.items() if key not in ("out", "generator")}
    try:
        return func(*args, **described | {"device": "meta", "pin_memory": False}).nbytes
    except (TypeError, ValueError, RuntimeError):
        return 0  # the function itself will say what is wrong
