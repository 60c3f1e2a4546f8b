"""Torch function -> Keras layer.

Each entry is declared with `lowers`, which also says what TFLite makes of it: the chip
check of a model that is being built reads that, long before anything is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.errors import ExportError
from synet.export.context import current, where
from synet.export.proxy import NCHW, KerasProxy

Lowering = Callable[..., Any]
TABLE: dict[Any, Lowering] = {}
OPERATIONS: dict[Any, Callable[..., Sequence[str]]] = {}
# Most functions read pixels, so zeros that wait are added first; these take them over.
KEEPS_PADDING: set[Lowering] = set()


def lowers(
    *names: str | Callable,
    ops: Sequence[str] | Callable[..., Sequence[str]] = (),
    keeps_padding: bool = False,
) -> Callable[[Lowering], Lowering]:
    """Register the twin of a torch function.

    Parameters
    ----------
    names
        Functions, or names looked up in ``torch``, ``torch.nn.functional`` and
        ``torch.Tensor``, where one function often lives three times.
    ops
        TFLite operations that it becomes, or a function that tells them from the arguments.
    keeps_padding
        The twin knows what to do with zeros that its tensor is still waiting for.
    """
    functions = []
    for name in names:
        homes = (torch, F, torch.Tensor) if isinstance(name, str) else ()
        found = [getattr(home, name) for home in homes if callable(getattr(home, name, None))]
        functions += found if isinstance(name, str) else [name]

    def register(lowering: Lowering) -> Lowering:
        for function in dict.fromkeys(functions):
            if TABLE.setdefault(function, lowering) is not lowering:
                raise ValueError(f"{function} already has a Keras twin")
            OPERATIONS[function] = ops if callable(ops) else lambda *_, **__: ops
        if keeps_padding:
            KEEPS_PADDING.add(lowering)
        return lowering

    return register


def lower(function: Any, args: tuple, kwargs: dict) -> Any:
    """Answer a torch function on proxies.

    Raises
    ------
    ExportError
        It has no Keras twin, or not in this form; the message names the function, the module
        path and the line of code.
    """
    name = getattr(function, "__name__", str(function))
    in_place = name.endswith("_") and not name.endswith("__")
    lowering = TABLE.get(function)
    if lowering is None and in_place:
        lowering = TABLE.get(getattr(torch.Tensor, name[:-1], None))
    if lowering is None:
        shown = torch.overrides.resolve_name(function) or name
        raise ExportError(f"{shown} has no Keras twin: {where()}")
    target = args[0] if args else None
    if lowering not in KEEPS_PADDING:
        args = tuple(_settled(arg) for arg in args)
    try:
        result = lowering(*args, **kwargs)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ExportError(f"{name} cannot be exported like this ({error}): {where()}") from error
    if (in_place or kwargs.get("inplace")) and isinstance(target, KerasProxy):
        return target.become(result)
    return result


def in_order(x: KerasProxy, dims: Sequence[int]) -> Any:
    """The Keras tensor of `x` with its axes in the order of torch's `dims`."""
    import keras

    order = tuple(x.axes[dim] for dim in dims)
    if order == tuple(range(len(order))):
        return x.tensor
    return keras.ops.transpose(x.tensor, order)


def settle(x: KerasProxy) -> KerasProxy:
    """Add the zeros that `x` is still waiting for."""
    if not any(x.pad):
        return x
    import keras

    top, bottom, left, right = x.pad
    layer = keras.layers.ZeroPadding2D(((top, bottom), (left, right)), name=layer_name("pad"))
    return KerasProxy(layer(x.tensor), x.axes)


def _settled(value: Any) -> Any:
    if isinstance(value, KerasProxy):
        return settle(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, KerasProxy) for v in value):
        return type(value)(_settled(item) for item in value)
    return value


def layer_name(function: str) -> str:
    """A name for the Keras layer that answers `function` in the running module."""
    return current().layer_name(function)


def as_numpy(value: torch.Tensor | float | None) -> np.ndarray | None:
    """A constant, float32 where it is a tensor."""
    if value is None:
        return None
    return np.asarray(value.detach().cpu().float() if isinstance(value, torch.Tensor) else value)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number, or (vertical, horizontal), as the latter."""
    return (int(value),) * 2 if isinstance(value, int) else tuple(int(v) for v in value)


def as_image(x: KerasProxy) -> KerasProxy:
    """`x`, stored as NHWC."""
    return x if x.is_image else KerasProxy(in_order(x, (0, 2, 3, 1)), NCHW)
