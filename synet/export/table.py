"""Torch function -> Keras layer.

Each entry is declared with `lowers`, which also says what TFLite makes of it: the chip
check of a model that is being built reads that, long before anything is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.errors import ExportError
from synet.export.context import current, where
from synet.export.proxy import NCHW, KerasProxy

Lowering = Callable[..., Any]
# A TFLite operation, and where a chip may limit it its kernel, stride and dilation, or the image
# sizes before and after.
Operation = str | tuple[str, Mapping[str, Any]]
TABLE: dict[Any, Lowering] = {}
OPERATIONS: dict[Any, Callable[..., Sequence[Operation]]] = {}
# Most functions read pixels, so zeros that wait are added first; these take them over.
KEEPS_PADDING: set[Lowering] = set()
FEW = 8  # parts that are cut and joined to spare a TRANSPOSE
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # which torch understands too


def lowers(
    *names: str | Callable,
    ops: Sequence[Operation] | Callable[..., Sequence[Operation]] = (),
    keeps_padding: bool = False,
) -> Callable[[Lowering], Lowering]:
    """Register the twin of a torch function.

    Parameters
    ----------
    names
        Functions, or names looked up in ``torch``, ``torch.nn.functional`` and
        ``torch.Tensor``, where one function often lives three times.
    ops
        TFLite operations that it becomes, or a function that tells them from the arguments, in
        which a constant is an array of numpy.
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
    kwargs = torch_names(kwargs)
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


def torch_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments by torch's own names."""
    return {NUMPY_NAMES.get(name, name): value for name, value in kwargs.items()}


def in_order(x: KerasProxy, dims: Sequence[int]) -> Any:
    """The Keras tensor of `x` with its axes in the order of torch's `dims`."""
    return rearranged(x.tensor, tuple(x.axes[dim] for dim in dims))


def rearranged(tensor: Any, order: Sequence[int]) -> Any:
    """A Keras tensor with its axes in another order, without TRANSPOSE where that can be."""
    import keras

    sizes = [tensor.shape[axis] for axis in order]
    real = [axis for axis, size in zip(order, sizes, strict=True) if size != 1]
    if list(order) == sorted(order):
        return tensor
    if real == sorted(real):
        return keras.ops.reshape(tensor, sizes)
    # A short axis that goes elsewhere is parts that are joined: few chips have TRANSPOSE.
    for to, axis in enumerate(order):
        rest = [other for other in real if other != axis]
        if rest == sorted(rest) and 1 < sizes[to] <= FEW:
            shape = [*sizes[:to], 1, *sizes[to + 1 :]]
            cuts = [(slice(None),) * axis + (slice(i, i + 1),) for i in range(sizes[to])]
            return join([keras.ops.reshape(tensor[cut], shape) for cut in cuts], to, "order")
    return keras.ops.transpose(tensor, order)


def settle(x: KerasProxy) -> KerasProxy:
    """Add the zeros that `x` is still waiting for.

    As constants beside the image: a chip without PAD joins tensors all the same.
    """
    if not any(x.pad):
        return x
    tensor = x.tensor
    for axis, sides in ((1, x.pad[:2]), (2, x.pad[2:])):
        shapes = [(*tensor.shape[:axis], n, *tensor.shape[axis + 1 :]) for n in sides]
        before, after = (np.zeros(shape, np.float32) for shape in shapes)
        tensor = join([before, tensor, after], axis, "pad")
    return KerasProxy(tensor, x.axes)


def join(parts: Sequence[Any], axis: int, name: str) -> Any:
    """Keras tensors and constants side by side along a stored axis; empty ones are left out."""
    import keras

    parts = [part for part in parts if part.shape[axis]]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, keras.KerasTensor) for part in parts):
        return keras.layers.Concatenate(axis=axis, name=layer_name(name))(parts)
    return keras.ops.concatenate(parts, axis)  # the layer takes no constants


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
