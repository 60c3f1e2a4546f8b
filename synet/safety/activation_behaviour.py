"""Telling by what a module does, not by its name, what a chip can have in its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synet.layers.activations import CLASSES

FAR = 20.0  # where every rectifier is straight, and every gate is shut or open


def activation_for(
    module: nn.Module, shape: tuple[int, ...], runs: bool, activation: str = "relu6"
) -> nn.Module | None:
    """The chip's activation for a module that is one, whatever it is called.

    It has no parameters, works value by value, and either the chip does not run it or it is a
    rectifier of another form. A gate (0 to 1) becomes the logistic function, all others what
    the chip has.

    Parameters
    ----------
    module
        In evaluation mode.
    shape
        Of what it is called with.
    runs
        Does the chip run what it does?
    activation
        The one that the chip has.

    Returns
    -------
    None where it is no activation, or one that may stay.
    """
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        return None
    values = torch.linspace(-8, 8, max(torch.Size(shape[1:2]).numel() * 64, 64))
    small = (1, *shape[1:2], 8, 8) if len(shape) == 4 else (1, len(values))
    x = values[: torch.Size(small).numel()].reshape(small)
    order = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(0))
    try:
        y, mixed = (_answer(module, t) for t in (x, _shuffled(x, order)))
        alone = _answer(module, x.where(x > 0, x - 3))
        low, high = _answer(module, x * 0 - FAR), _answer(module, x * 0 + FAR)
    except Exception:  # it is made for something else
        return None
    if any(a is None for a in (y, mixed, alone, low, high)):
        return None
    # no value may depend on where it stands, nor on the others
    if not _same(_shuffled(y, order), mixed) or not _same(y[x > 0], alone[x > 0]):
        return None
    ours = CLASSES[activation]()
    if _same(y, x) or _same(y, ours(x)):
        return None
    gate = _same(low, low * 0) and _same(high, high * 0 + 1)
    rectifier = _same(high / FAR, high * 0 + 1) and float(low.abs().max()) < FAR / 2
    if runs and not rectifier:
        return None
    return nn.Sigmoid() if gate else ours


def _answer(module: nn.Module, x: Tensor) -> Tensor | None:
    y = module(x.clone())
    return y if isinstance(y, Tensor) and y.shape == x.shape else None


def _shuffled(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten()[order].reshape(x.shape)


def _same(x: Tensor, y: Tensor) -> bool:
    return torch.allclose(x, y, atol=1e-4, rtol=1e-4)
