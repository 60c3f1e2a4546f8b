"""Layers of Keras files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from synet.errors import SynetError
from synet.export.tensorflow import import_keras
from synet.readers import Kernel, Layer, Source, matrix, refuse_other_shape

# Layers of Keras, and a value, that bring code or other files along.
CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
CONFIG = "config.json"  # in the archive: what the model is made of

# Axes that count output channels, in the weights of a layer's class; of others the last.
_DEPTHWISE = (2, 3)
_TRANSPOSED = (2,)
_CHANNELS = {"DepthwiseConv2D": _DEPTHWISE, "Conv2DTranspose": _TRANSPOSED}


def layers(source: Source) -> list[Layer]:
    """The layers, those of models within the model too.

    Raises
    ------
    SynetError
        No Keras file, one that would run code, or one for images of another shape.
    """
    model = _load(source)
    inputs = getattr(model, "inputs", None) or ()  # none of a model that was never called
    if len(inputs) != 1:
        raise SynetError(
            f"{source.model} takes {len(inputs)} inputs; only models of one can be read"
        )
    if len(inputs[0].shape) == 4:
        refuse_other_shape(source, inputs[0].shape[1:3])
    found, seen = [], set()
    for layer in _layers_of(model):
        weights = [weight for weight in layer.weights if id(weight) not in seen]
        seen |= {id(weight) for weight in weights}
        shape = _shape(layer, "output")
        found.append(
            Layer(
                name=layer.name,
                kind=type(layer).__name__,
                shape=shape,
                parameters=sum(prod(weight.shape) for weight in weights),
                macs=_macs(layer, shape),
            )
        )
    return found


def kernels(source: Source) -> Iterator[Kernel]:
    """The weights of convolutions, dense layers and the like.

    Raises
    ------
    SynetError
        No Keras file, or one that would run code.
    """
    seen = set()
    for layer in _layers_of(_load(source)):
        kind = type(layer).__name__
        for weight in layer.weights:
            if len(weight.shape) < 2 or id(weight) in seen:
                continue
            seen.add(id(weight))
            values = np.asarray(weight)
            channels = _CHANNELS.get(kind, (values.ndim - 1,))
            yield Kernel(layer.name, kind, values.shape, matrix(values, *channels))


def _load(source: Source) -> Any:
    path = str(source.model)
    _refuse_code(path)
    keras = import_keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged file ends in
        reason = str(error).strip().partition("\n")[0]
        raise SynetError(f"{path} is damaged, or of another Keras: {reason}") from None


def _refuse_code(path: str) -> None:
    """Refuse a file that names anything but what Keras itself brings along."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read(CONFIG))
    except OSError as error:
        raise SynetError(f"cannot read {path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise SynetError(f"{path} is not a Keras file (.keras), or is damaged") from None
    for module, name in _classes(config):
        if name in CODE:
            raise SynetError(f"{path} holds a {name}, which is code; nothing of it was run")
        if module.partition(".")[0] != "keras" and (module, name) != ("builtins", "function"):
            raise SynetError(
                f"{path} needs {module}.{name}, which is no layer of Keras; nothing of it was run"
            )


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Module and name of all that a configuration is made of."""
    if isinstance(config, dict):
        if "class_name" in config:
            module = config.get("module")
            name = str(config["class_name"])
            yield ("keras" if module is None else str(module)), name
        config = [*config.values()]
    if isinstance(config, list):
        for item in config:
            yield from _classes(item)


def _layers_of(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers_of(layer)
        else:
            yield layer


def _shape(layer: Any, side: str) -> tuple[int | None, ...]:
    """Of a layer's input or output; empty where there are several."""
    try:
        return tuple(getattr(layer, side).shape)
    except (AttributeError, ValueError):
        return ()


def _macs(layer: Any, after: tuple[int | None, ...]) -> int | None:
    """Of one image; the batch is 1 whatever the file says."""
    kernels = [tuple(weight.shape) for weight in layer.weights if len(weight.shape) > 1]
    if not kernels:
        return 0
    count = _COUNTS.get(type(layer).__name__)
    sides = {"before": _shape(layer, "input")[1:], "after": after[1:]}
    if count is None or not all(sides.values()) or None in sum(sides.values(), ()):
        return None
    return count(kernels, **sides)


def _of_output(kernels: list, before: tuple, after: tuple) -> int:
    return prod(after) * prod(kernels[0][:-1])


def _of_channels(kernels: list, before: tuple, after: tuple) -> int:
    return prod(after) * prod(kernels[0][:2])


def _of_input(kernels: list, before: tuple, after: tuple) -> int:
    return prod(before) * prod(kernels[0][:-1])


def _of_both(kernels: list, before: tuple, after: tuple) -> int:
    return prod(after[:-1]) * sum(map(prod, kernels))


_COUNTS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Dense"), _of_output),
    "DepthwiseConv2D": _of_channels,
    "Conv2DTranspose": _of_input,
    "SeparableConv2D": _of_both,
}
