"""A Keras tensor that answers torch's functions.

`KerasProxy` shows a torch shape over a Keras tensor whose axes may be stored in another
order: ``axes[i]`` is the Keras axis of torch dimension ``i``. Images are stored NHWC, as
TFLite wants them, and shown NCHW; a ``permute`` only changes `axes`, so that the usual head code
(``view``, ``permute``, ``reshape``) costs the chip nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from synet.export.registry import in_place, kit, layer_name, lowering_of, spelling, torch_names
from synet.layers.exporting import current
from synet.system.errors import ExportError

NCHW = (0, 3, 1, 2)


class KerasProxy:
    """Stands for a torch tensor while a module runs on Keras tensors.

    Parameters
    ----------
    tensor
        Keras tensor with a static shape.
    axes
        Keras axis of each torch dimension. Default: the same order.
    pad
        Zeros still to be added around H and W (top, bottom, left, right) of an image. They wait
        for the convolution that follows, where they often are just 'same' padding.
    """

    ANSWERS = frozenset(
        ("is_nested", "is_cuda", "is_sparse", "is_quantized", "requires_grad", "dtype", "device")
        + ("layout", "shape", "ndim", "dim", "size", "numel", "__len__")
    )
    is_nested = False
    is_cuda = False
    is_sparse = False
    is_quantized = False
    requires_grad = False
    dtype = torch.float32
    device = torch.device("cpu")
    layout = torch.strided

    def __init__(
        self,
        tensor: Any,
        axes: Sequence[int] | None = None,
        pad: Sequence[int] = (0, 0, 0, 0),
    ) -> None:
        self.tensor = tensor
        self.axes = tuple(range(len(tensor.shape))) if axes is None else tuple(axes)
        self.pad = tuple(pad)

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return lower(func, args, kwargs or {})

    @property
    def shape(self) -> torch.Size:
        """Torch's shape, waiting padding included."""
        sizes = [self.tensor.shape[axis] for axis in self.axes]
        if any(self.pad):
            sizes[2] += self.pad[0] + self.pad[1]
            sizes[3] += self.pad[2] + self.pad[3]
        return torch.Size(sizes)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.axes)

    @property
    def data(self) -> KerasProxy:
        """Itself: there is no gradient to leave behind."""
        return self

    @property
    def is_image(self) -> bool:
        """Is this (N, C, H, W) stored as NHWC?"""
        return self.axes == NCHW

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> torch.Size | int:
        """The shape, or one size of it."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of values."""
        return self.shape.numel()

    def axis(self, dim: int) -> int:
        """Keras axis of a torch dimension, which may be negative."""
        return self.axes[dim]

    def become(self, other: KerasProxy) -> KerasProxy:
        """Take over what an in-place function has computed."""
        self.tensor, self.axes, self.pad = other.tensor, other.axes, other.pad
        return self

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise current().refusal("a branch on a tensor's value cannot be exported")

    def __getattr__(self, name: str) -> Any:
        function = getattr(torch.Tensor, name, None)
        if not callable(function):
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        # as torch's own functions do: a mode that watches or changes calls sees this one too
        return lambda *args, **kwargs: torch.overrides.handle_torch_function(
            function, (self,), self, *args, **kwargs
        )

    def __repr__(self) -> str:
        return f"KerasProxy(shape={tuple(self.shape)}, axes={self.axes})"


def _operator(name: str) -> Any:
    function = getattr(torch.Tensor, name)

    def method(self: KerasProxy, *args: Any) -> Any:
        return self.__torch_function__(function, (KerasProxy,), (self, *args), {})

    method.__name__ = name
    return method


for _name in (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__"),
    *("__rtruediv__", "__pow__", "__neg__", "__matmul__", "__getitem__", "__setitem__"),
    *("__lt__", "__le__", "__gt__", "__ge__", "__floordiv__", "__mod__"),  # refused, as any other
):
    setattr(KerasProxy, _name, _operator(_name))


def _augmented(name: str) -> Any:
    """``x += y`` and its like change `x` itself, whatever other names it has."""
    function = getattr(torch.Tensor, name.replace("__i", "__"))

    def method(self: KerasProxy, other: Any) -> KerasProxy:
        return self.become(self.__torch_function__(function, (KerasProxy,), (self, other), {}))

    method.__name__ = name
    return method


for _name in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):
    setattr(KerasProxy, _name, _augmented(_name))


def holds_keras(value: Any) -> bool:
    """Is there a Keras tensor in these nested arguments?"""
    import keras

    if isinstance(value, (list, tuple)):
        return any(holds_keras(item) for item in value)
    return isinstance(value, keras.KerasTensor)


def wrap(value: Any, imgsz: tuple[int, int] | None) -> Any:
    """Replace Keras tensors in nested arguments by proxies."""
    import keras

    if isinstance(value, (list, tuple)):
        return type(value)(wrap(item, imgsz) for item in value)
    if not isinstance(value, keras.KerasTensor):
        return value
    shape = value.shape
    if None in shape:
        raise ExportError(
            f"the Keras input has shape {shape}: give every size, e.g. "
            f"keras.Input((240, 320, 1), batch_size=1)"
        )
    if len(shape) == 4 and imgsz is not None and tuple(shape[1:3]) != imgsz:
        hint = " (imgsz is height, width)" if tuple(shape[2:0:-1]) == imgsz else ""
        raise ExportError(f"the Keras input is {shape[1]}x{shape[2]}, imgsz is {imgsz}{hint}")
    return KerasProxy(value, NCHW if len(shape) == 4 else None)


def unwrap(value: Any) -> Any:
    """Replace proxies in nested outputs by Keras tensors, images channels last."""
    if isinstance(value, KerasProxy):
        value = settle(value)
        return in_order(value, (0, 2, 3, 1) if value.ndim == 4 else range(value.ndim))
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(item) for item in value)
    return value


def lower(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
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
        if rest == sorted(rest) and 1 < sizes[to] <= spelling().parts:
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


def as_numpy(value: torch.Tensor | float) -> np.ndarray:
    """A constant, float32 where it is a tensor."""
    return np.asarray(value.detach().cpu().float() if isinstance(value, torch.Tensor) else value)


def as_image(x: KerasProxy) -> KerasProxy:
    """`x`, stored as NHWC."""
    return x if x.is_image else KerasProxy(in_order(x, (0, 2, 3, 1)), NCHW)
