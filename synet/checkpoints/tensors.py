"""Tensors out of a checkpoint: views of its storages that lie within them."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torch.storage import TypedStorage

from synet.checkpoints.machine import ForbiddenError
from synet.system import borrowed

# How much all tensors of a file may come to, who may share a storage, or repeat what is in it:
# so many bytes, and so many times the bytes of the file.
_BYTES, _TIMES = 1 << 26, 4
_SIMPLE = (str, int, float, bool, type(None))


class Tensors:
    """Makes the tensors of one file.

    Parameters
    ----------
    size
        The bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._room = _BYTES + _TIMES * size

    def first(self, storage: Any, offset: Any, shape: Any, stride: Any) -> torch.Tensor:
        """``torch._utils._rebuild_tensor``."""
        return self._view(storage, getattr(storage, "dtype", None), offset, shape, stride)

    def second(
        self,
        *place: Any,
    ) -> torch.Tensor:
        """``torch._utils._rebuild_tensor_v2``."""
        storage, offset, shape, stride, gradient, hooks, *metadata = place
        _check_bare(hooks, *metadata)
        view = self._view(storage, getattr(storage, "dtype", None), offset, shape, stride)
        return view.requires_grad_(gradient is True)

    def third(self, *place: Any) -> torch.Tensor:
        """``torch._utils._rebuild_tensor_v3``, for types that have no storage of their own."""
        storage, offset, shape, stride, gradient, hooks, dtype, *metadata = place
        _check_bare(hooks, *metadata)
        view = self._view(storage, dtype, offset, shape, stride)
        return view.requires_grad_(gradient is True)

    def parameter(self, data: Any, gradient: Any, hooks: Any, state: Any = None) -> nn.Parameter:
        """``torch._utils._rebuild_parameter``, and its twin for those that have attributes."""
        if type(data) is not torch.Tensor:
            raise ForbiddenError("has a parameter that is no tensor")
        _check_bare(hooks)
        parameter = nn.Parameter(data.detach(), gradient is True)
        for name, value in _attributes(state).items():
            setattr(parameter, name, value)
        return parameter

    def _view(self, storage: Any, dtype: Any, offset: Any, shape: Any, stride: Any) -> torch.Tensor:
        if type(storage) is not TypedStorage or not isinstance(dtype, torch.dtype):
            raise ForbiddenError("has a tensor of no storage")
        if not (isinstance(shape, tuple) and isinstance(stride, tuple)) or {
            type(number) for number in (offset, *shape, *stride)
        } != {int}:
            raise ForbiddenError("has a tensor of no shape")
        content = borrowed.untyped(storage)
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        elements = math.prod(shape)
        if min(offset, *shape, *stride, 0) < 0 or (
            elements and (last + 1) * dtype.itemsize > content.nbytes()
        ):
            raise ForbiddenError("has a tensor that goes beyond its storage")
        self._room -= elements * dtype.itemsize
        if self._room < 0:
            raise ForbiddenError("has tensors that come to far more than it holds")
        empty = torch.empty(0, dtype=dtype, device=content.device)
        return empty.set_(content, offset if elements else 0, shape, stride)


def _check_bare(*attached: Any) -> None:
    """See that nothing hangs on a tensor: hooks, or bits that torch would obey."""
    for value in attached:
        if value is not None and (type(value) not in (OrderedDict, dict) or value):
            raise ForbiddenError("hangs something on a tensor")


def _attributes(state: Any) -> dict[str, Any]:
    """What a parameter is told beside its content: notes that are no part of torch."""
    if type(state) is tuple and len(state) == 2 and not state[1]:
        state = state[0]
    if state is None:
        return {}
    if type(state) is not dict or not all(
        type(name) is str
        and name.isidentifier()
        and not hasattr(nn.Parameter, name)
        and type(value) in _SIMPLE
        for name, value in state.items()
    ):
        raise ForbiddenError("hangs something on a tensor")
    return state
