"""Layers of Keras files."""

from __future__ import annotations

import builtins
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from synet.export.tensorflow import import_keras
from synet.inspection.readers.formats import Kernel, Layer, ModelSource, matrix, refuse_other_shape
from synet.system.errors import SynetError
from synet.tflite.flatbuffer import LARGEST, read_file

# Layers of Keras, and a value, that bring code or other files along.
CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
CODE |= {"StringLookup", "IntegerLookup", "TextVectorization"}
# Where Keras keeps what a network is made of; elsewhere in it are functions that load and fetch.
PARTS = ("layers", "models", "initializers", "regularizers", "constraints", "activations")
PARTS += ("src.layers", "src.models", "src.ops", "dtype_policies")
ROOT = {"DTypePolicy", "FloatDTypePolicy", "Model", "Sequential", "Functional"}
CONFIG, WEIGHTS = "config.json", "model.weights.h5"  # in the archive: what it is made of, numbers
# What unpacking a damaged archive, or one that was made to hurt, ends in.
DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, NotImplementedError, RecursionError)
DAMAGE += (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, MemoryError)
WAITING = "uninitialized_variables"  # what Keras calls its list of them
LARGEST_CONFIG = 4 * 2**20  # bytes; the largest YOLO of today takes a fifth of it

# Axes that count output channels, in the weights of a layer's class; of others the last.
_DEPTHWISE = (2, 3)
_TRANSPOSED = (2,)
_CHANNELS = {"DepthwiseConv2D": _DEPTHWISE, "Conv2DTranspose": _TRANSPOSED}


def layers(source: ModelSource) -> list[Layer]:
    """The layers, those of models within the model too.

    Raises
    ------
    SynetError
        No Keras file, one that would run code, or one for images of another shape.
    """
    model = _shapes(*_open(source))
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


def kernels(source: ModelSource) -> Iterator[Kernel]:
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


def _open(source: ModelSource) -> tuple[str, dict[str, Any], bytes]:
    """Name, configuration and weights of a file that names nothing but what Keras brings along."""
    path = str(source.model)
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path))) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise SynetError(f"{path} unpacks to more than {LARGEST >> 20} MiB")
            if archive.getinfo(CONFIG).file_size > LARGEST_CONFIG:
                raise SynetError(f"{path}: {CONFIG} is larger than {LARGEST_CONFIG >> 20} MiB")
            config, weights = json.loads(archive.read(CONFIG)), archive.read(WEIGHTS)
        named = [*_classes(config)]
    except DAMAGE:  # a SynetError is none
        raise SynetError(f"{path} is not a Keras file (.keras), or is damaged") from None
    for module, name in named:
        if name in CODE:
            raise SynetError(f"{path} holds a {name}, which is code; nothing of it was run")
        if not _is_of_keras(module, name):
            raise SynetError(
                f"{path} needs {module}.{name}, which is no layer of Keras; nothing of it was run"
            )
    return path, config, weights


def _shapes(path: str, config: dict[str, Any], weights: bytes) -> Any:
    """The model without its numbers, which take no memory so, however many it says it has."""
    keras = import_keras()
    try:
        with keras.StatelessScope(initialize_variables=False), _forgotten():
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        held = sum(prod(weight.shape) for layer in _layers_of(model) for weight in layer.weights)
    except Exception as error:  # whatever a damaged file ends in
        raise _damaged(path, error) from None
    if 2 * held > LARGEST:  # of two bytes, at least
        raise SynetError(f"{path} holds {held:,} numbers, which no model does")
    _check_weights(path, weights)
    return model


@contextmanager
def _forgotten() -> Iterator[None]:
    """Keep Keras from giving numbers later to what was built without any."""
    from keras.src.backend.common import global_state

    before = [*global_state.get_global_attribute(WAITING, [])]
    try:
        yield
    finally:
        global_state.set_global_attribute(WAITING, before)


def _check_weights(path: str, content: bytes) -> None:
    """See that weights are numbers in the file itself, and as many as it has room for."""
    import h5py

    held = 0

    def look(group: h5py.Group, depth: int) -> None:
        nonlocal held
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink) or depth > 100:
                raise ValueError(f"{name} lies elsewhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                look(item, depth + 1)
                continue
            if item.external or item.is_virtual:
                raise ValueError(f"{name} lies in another file")
            held += item.nbytes
            if held > LARGEST:
                raise ValueError(f"its weights take more than {LARGEST >> 20} MiB")

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            look(file, 0)
    except Exception as error:
        raise _damaged(path, error) from None


def _load(source: ModelSource) -> Any:
    path, config, weights = _open(source)
    keras = import_keras()
    _shapes(path, config, weights)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged file ends in
        raise _damaged(path, error) from None


def _damaged(path: str, error: Exception) -> SynetError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return SynetError(f"{path} is damaged, or of another Keras: {reason[:200]}")


def _is_of_keras(module: str, name: str) -> bool:
    package, _, part = module.partition(".")
    if module == "keras":
        return name in ROOT or name.startswith("__")  # such as "__tensor__", which are values
    if module == "builtins":  # as Keras calls where its own functions lie
        return not hasattr(builtins, name)
    return package == "keras" and part.startswith(PARTS)


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Module and name of all classes and functions that a configuration is made of."""
    if isinstance(config, dict):
        if "class_name" in config:
            module, name = config.get("module"), str(config["class_name"])
            if name == "function":
                name = str(config.get("config"))
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
