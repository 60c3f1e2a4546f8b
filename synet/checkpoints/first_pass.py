"""One small image through a network that was read from a file, before anything relies on it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from synet.system.errors import CheckpointError
from synet.system.text import first_line

_SIDE = 64  # of the image, or the largest stride where that is more
_LARGEST = 1 << 22  # pixels of an image that is worth a try
_PER_PIXEL = 512  # numbers that a layer may make for each pixel of the image


def first_pass(model: nn.Module, sizes: Sequence[tuple[int, int]] = ()) -> None:
    """Run a network once, and leave it as it was.

    Parameters
    ----------
    model
        In eval mode and float32.
    sizes
        Heights and widths that the model may be used at: some take no other.

    Raises
    ------
    CheckpointError
        It fails, at a small size and at those.
    """
    side = max([_SIDE, *map(int, getattr(model, "stride", ()))])
    known = [(height, width) for height, width in sizes if height * width <= _LARGEST]
    failures = []
    for height, width in dict.fromkeys([(side, side), *known]):
        most = _PER_PIXEL * height * width
        try:
            with _as_it_was(model), _bounded(model, most), torch.no_grad():
                model(torch.zeros(1, _channels(model), height, width))
            return
        except _TooLargeError as error:
            raise CheckpointError(str(error)) from None
        except Exception as error:  # a fork's own code runs on what the file gave it
            failures.append((height, width, error))
    height, width, error = failures[-1]
    raise CheckpointError(
        f"its network fails on an image of {height}x{width}: {first_line(error)}"
    ) from error


def _channels(model: nn.Module) -> int:
    definition = model.yaml
    built = model.synet.get("channels")
    return built or definition.get("ch") or definition.get("channels") or 3


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back what a pass notes: a head keeps its grid for the next image of the same size."""
    before = [(layer, dict(vars(layer))) for layer in model.modules()]
    buffers = [(layer, dict(layer._buffers)) for layer in model.modules()]
    try:
        yield
    finally:
        for layer, attributes in before:
            vars(layer).clear()
            vars(layer).update(attributes)
        for layer, tensors in buffers:
            layer._buffers.clear()
            layer._buffers.update(tensors)


class _TooLargeError(Exception):
    """A layer would take more memory than any network does."""


@contextlib.contextmanager
def _bounded(model: nn.Module, most: float) -> Iterator[None]:
    """Stop at a layer that would make more numbers than `most`."""

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor) and _made(layer, inputs[0]) > most:
            place = next(name for name, other in model.named_modules() if other is layer)
            raise _TooLargeError(
                f"its {place} makes more than {_PER_PIXEL} numbers for each pixel of an image"
            )

    hooks = [layer.register_forward_pre_hook(look) for layer in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _made(layer: nn.Module, image: torch.Tensor) -> float:
    """About how many numbers a layer makes of an image."""
    numbers = float(image.numel())
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and image.ndim == 4:
        pads = layer.padding if isinstance(layer.padding, tuple) else (0, 0)
        sides = [
            size * step if isinstance(layer, nn.ConvTranspose2d) else (size + 2 * pad) / step
            for size, pad, step in zip(image.shape[2:], pads, layer.stride, strict=True)
        ]
        return layer.out_channels * math.prod(sides)
    if isinstance(layer, nn.Upsample):
        by = layer.scale_factor if layer.size is None else layer.size
        times = math.prod(by) if isinstance(by, tuple) else by**2
        return times * (numbers if layer.size is None else image.shape[1])
    return numbers
