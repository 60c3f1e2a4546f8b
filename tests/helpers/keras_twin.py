"""A torch module, and the Keras model that it makes of itself, on the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synet.base import askeras
from synet.export.tensorflow import import_keras

BAR = 1e-4  # Keras against torch, everywhere


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def draw(*shape: int, low: float = -4, high: float = 4, seed: int = 0) -> Tensor:
    """Random numbers, the same for the same shape and seed."""
    random = np.random.default_rng([seed, *shape])
    return torch.from_numpy(random.uniform(low, high, shape).astype(np.float32))


def settle(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` in eval mode, as if trained: batch norm that does something, biases not zero."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.normal_(part.running_mean, std=0.2)
    return module.eval()


def export(
    module: nn.Module,
    *inputs: Any,
    imgsz: tuple[int, int] | None = None,
    chip: str | None = None,
) -> Any:
    """The Keras model for torch tensors (or lists of them) like `inputs`."""
    keras = import_keras()

    def symbol(x: Tensor) -> Any:
        return keras.Input(to_keras(x).shape[1:], batch_size=x.shape[0])

    symbols = [_each(symbol, x) for x in inputs]
    with askeras(imgsz=imgsz, chip=chip):
        outputs = module(*symbols)
    return keras.Model(_one(_flat(symbols)), outputs)


def assert_same(module: nn.Module, *inputs: Any, bar: float = BAR, chip: str | None = None) -> Any:
    """Both give the same shapes and numbers; returns the Keras model."""
    module.eval()
    model = export(module, *inputs, chip=chip)
    with torch.no_grad():
        expected = [to_keras(x) for x in _flat(module(*_each(Tensor.clone, list(inputs))))]
    found = [np.asarray(y) for y in _flat(model(_one([to_keras(x) for x in _flat(inputs)])))]
    assert [y.shape for y in found] == [y.shape for y in expected]
    for ours, torchs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, torchs, rtol=0, atol=bar)
    return model


def to_keras(x: Tensor) -> np.ndarray:
    """Images channels last, anything else as it is."""
    x = x.detach().float()
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).numpy()


def layers(model: Any, kind: str) -> list[Any]:
    """Layers of a Keras model, by the name of their class."""
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_each(function, item) for item in value]
    return function(value)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flat(item)]
    return [value]


def _one(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def keras_runner(keras_model: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Run a Keras model with named outputs on float32 (H, W, C) images."""

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        return {k: np.asarray(v) for k, v in keras_model(image[None], training=False).items()}

    return run
