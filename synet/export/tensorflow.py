"""TensorFlow, imported in the one order that works, and its converter."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.export.calibrate import calibrate
from synet.system.borrowed import quantized
from synet.system.errors import ExportError, SynetError
from synet.system.import_order import triton_before_tensorflow
from synet.system.optional_packages import install_command
from synet.system.streams import quiet
from synet.tflite.trial import vouch

if TYPE_CHECKING:
    import keras


# What Keras imports where it is installed, for training and plots: 40 MB that no export needs.
UNUSED = ("pandas", "matplotlib.pyplot")


def import_keras() -> Any:
    """Keras on TensorFlow.

    Raises
    ------
    SynetError
        They are not installed, or Keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if importlib.util.find_spec("tensorflow") is None or not importlib.util.find_spec("keras"):
        raise SynetError(f"exporting needs tensorflow and keras: {install_command('export')}")
    triton_before_tensorflow()
    with quiet(), _without(*UNUSED):
        import keras
        import tensorflow  # noqa: F401
    if keras.backend.backend() != "tensorflow":
        raise SynetError(
            f"keras runs on {keras.backend.backend()}; exporting needs KERAS_BACKEND=tensorflow"
        )
    return keras


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Packages that nobody has imported yet are to all as if they were not installed."""
    absent: dict[str, Any] = {name: None for name in packages if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def to_float(keras_model: keras.Model) -> bytes:
    """A float32 TFLite file, whose outputs have the names that they have in Keras.

    Raises
    ------
    ExportError
        The converter cannot convert the model; its last words are quoted.
    """
    import tensorflow as tf

    image = keras_model.inputs[0]
    with _converting():
        # Not by way of a saved model, which takes five times as long and more memory.
        function = tf.function(lambda x: keras_model(x, training=False), autograph=False)
        traced = function.get_concrete_function(tf.TensorSpec(image.shape, tf.float32, "image"))
        content = tf.lite.TFLiteConverter.from_concrete_functions([traced], function).convert()
        outputs = traced.structured_outputs
        names = sorted(outputs) if isinstance(outputs, dict) else []
    del function, traced, outputs
    gc.collect()  # what the converter leaves behind holds the weights several times, in cycles
    return vouch(_named(content, names))


def to_int8(model: bytes, images: Callable[[], Iterable[np.ndarray]]) -> bytes:
    """The int8 form of a float32 TFLite file, input and outputs included.

    Parameters
    ----------
    model
        One NHWC image in.
    images
        Called for the calibration images: float32 (H, W, C), 0-1.

    Raises
    ------
    ExportError
        The converter cannot convert the model, or there are no images that say anything.
    """
    import tensorflow as tf

    with _converting():
        ranged = calibrate(model, images())
        return vouch(quantized(ranged, tf.int8, tf.int8))


@contextmanager
def _converting() -> Iterator[None]:
    """Without a word of the converter's, but the last one where it fails."""
    try:
        with quiet():
            yield
    except SynetError:
        raise
    except Exception as error:  # the converter has no base class of its own
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ExportError(f"TFLite conversion failed: {last[0].strip()}") from error


def _named(content: bytes, names: Sequence[str]) -> bytes:
    """A TFLite file with a signature, which names its outputs; "output_0", ... without `names`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def place(name: str, tensor: int) -> Any:
        made = schema.TensorMapT()
        made.name, made.tensorIndex = name, int(tensor)
        return made

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph, signature = model.subgraphs[0], schema.SignatureDefT()
    names = names or [f"output_{i}" for i in range(len(graph.outputs))]
    signature.signatureKey = "serving_default"
    signature.inputs = [place("image", graph.inputs[0])]
    signature.outputs = [place(*each) for each in zip(names, graph.outputs, strict=True)]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
