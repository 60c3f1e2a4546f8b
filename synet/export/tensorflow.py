"""TensorFlow, imported in the one order that works, and its converter."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.errors import ExportError, SynetError
from synet.export.calibrate import calibrate
from synet.order import triton_before_tensorflow
from synet.streams import quiet

if TYPE_CHECKING:
    import keras


def import_keras() -> Any:
    """Keras on TensorFlow.

    Raises
    ------
    SynetError
        They are not installed, or Keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if importlib.util.find_spec("tensorflow") is None or not importlib.util.find_spec("keras"):
        raise SynetError("exporting needs tensorflow and keras: pip install 'synet[export]'")
    triton_before_tensorflow()
    with quiet():
        import keras
        import tensorflow  # noqa: F401
    if keras.backend.backend() != "tensorflow":
        raise SynetError(
            f"keras runs on {keras.backend.backend()}; exporting needs KERAS_BACKEND=tensorflow"
        )
    return keras


def convert(keras_model: keras.Model, images: Callable[[], Iterable[np.ndarray]]) -> bytes:
    """An int8 TFLite file, input and outputs included.

    Parameters
    ----------
    keras_model
        One NHWC image in.
    images
        Called for the calibration images: float32 (H, W, C), 0-1.

    Raises
    ------
    ExportError
        The converter cannot convert the model; its last words are quoted.
    """
    import keras
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    if isinstance(keras_model.output, (list, tuple)):  # the converter takes no lists within lists
        keras_model = keras.Model(keras_model.inputs, keras_model.outputs)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # An image makes the converter fill in ranges at all; calibrate() replaces them.
    blank = np.zeros(keras_model.inputs[0].shape, np.float32)
    converter.representative_dataset = lambda: [[blank]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True
    try:
        with quiet():
            ranged = calibrate(converter.convert(), images())
            return mlir_quantize(ranged, input_data_type=tf.int8, output_data_type=tf.int8)
    except SynetError:
        raise
    except Exception as error:  # the converter has no base class of its own
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ExportError(f"TFLite conversion failed: {last[0].strip()}") from error
