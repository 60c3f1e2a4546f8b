"""Torch function -> Keras layer.

Each entry is declared with `lowers`. It builds with the kit of the context that it runs in: Keras,
or shapes alone, which tell the chip check of a model what an export will hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synet.export.proxy import NCHW, KerasProxy
from synet.layers.exporting import current


@dataclass(frozen=True)
class Lowering:
    """The twin of a torch function.

    `keeps_padding` is for one that knows what to do with zeros that its tensor is still waiting
    for; for all others they are added first. `fused` are the TFLite operations, where the converter
    makes fewer of them than the twin builds.
    """

    run: Callable[..., Any]
    keeps_padding: bool = False
    fused: tuple[str, ...] = ()


TABLE: dict[Any, Lowering] = {}
FEW = 8  # parts that are cut and joined to spare a TRANSPOSE
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # which torch understands too


def lowers(
    *names: str | Callable, keeps_padding: bool = False, fused: Sequence[str] = ()
) -> Callable[[Callable], Callable]:
    """Register the twin of a torch function.

    Parameters
    ----------
    names
        Functions, or names looked up in ``torch``, ``torch.nn.functional`` and
        ``torch.Tensor``, where one function often lives three times.
    keeps_padding, fused
        As in `Lowering`.
    """
    functions = []
    for name in names:
        homes = (torch, F, torch.Tensor) if isinstance(name, str) else ()
        found = [getattr(home, name) for home in homes if callable(getattr(home, name, None))]
        functions += found if isinstance(name, str) else [name]

    def register(run: Callable) -> Callable:
        lowering = Lowering(run, keeps_padding, tuple(fused))
        for function in dict.fromkeys(functions):
            if TABLE.setdefault(function, lowering) is not lowering:
                raise ValueError(f"{function} already has a Keras twin")
        return run

    return register


def lowering_of(function: Any) -> Lowering | None:
    """The twin of a torch function, or of the one that it does in place."""
    name = getattr(function, "__name__", str(function))
    found = TABLE.get(function)
    if found is None and in_place(name):
        found = TABLE.get(getattr(torch.Tensor, name[:-1], None))
    return found


def in_place(name: str) -> bool:
    """Does a torch function of that name change its argument?"""
    return name.endswith("_") and not name.endswith("__")


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
    lowering = lowering_of(function)
    if lowering is None:
        shown = torch.overrides.resolve_name(function) or name
        raise current().refusal(f"{shown} has no Keras twin")
    target = args[0] if args else None
    if not lowering.keeps_padding:
        args = tuple(_settled(arg) for arg in args)
    try:
        result = lowering.run(*args, **kwargs)
    except (TypeError, ValueError, NotImplementedError) as error:
        text = f"{name} cannot be exported like this ({error})"
        raise current().refusal(text) from error
    if (in_place(name) or kwargs.get("inplace")) and isinstance(target, KerasProxy):
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
    keras = kit()

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
    keras = kit()

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


def kit() -> Any:
    """Keras, or what stands in for it where shapes are all that is asked for."""
    return current().kit


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
