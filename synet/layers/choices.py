"""What is open about a layer until a network is built of it: its activation, and its padding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import nn

from synet.layers.activations import CLASSES


@dataclass(frozen=True)
class Choices:
    """How the convolutions of a network are built.

    Parameters
    ----------
    activation
        Name of the one that follows them: see `synet.layers.activations`. Every chip has ReLU6.
    pads_alike
        Do they pad as much before as after, as torch and published weights do? A chip that has
        no PAD needs TensorFlow's 'same', which of a stride of 2 looks a pixel further.
    """

    activation: str = "relu6"
    pads_alike: bool = False


DEFAULT = Choices()

_choices: ContextVar[Choices] = ContextVar("choices", default=DEFAULT)


def chosen() -> Choices:
    """Those that layers are built by now."""
    return _choices.get()


@contextmanager
def building_with(choices: Choices) -> Iterator[None]:
    """Let layers be built by these in the block."""
    before = _choices.set(choices)
    try:
        yield
    finally:
        _choices.reset(before)


def new_activation() -> nn.Module:
    """A layer of the chosen activation."""
    return CLASSES[chosen().activation](inplace=True)


class ChosenActivation:
    """An attribute of a class, or of an instance, that is a `new_activation` when it is read."""

    def __get__(self, instance: object, owner: type) -> nn.Module:
        return new_activation()
