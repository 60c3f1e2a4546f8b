"""Small models through the real converter, each built once in a test process.

Their layers carry the names that an exported torch model has: `model.0.conv`, ...
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any

import numpy as np

SHAPE = (48, 64)


@cache
def good() -> bytes:
    """Fits Katana; a residual block, a pool, an upsampling, and two named outputs."""
    keras = _keras()
    keras.utils.set_random_seed(0)  # of some weights calibration cuts off more than a step
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    stem = _conv(image, "model.0", 8, kernel=3, stride=2)
    deep = _conv(stem, "model.1.dw", 8, kernel=3, depthwise=True)
    deep = _conv(deep, "model.1.pw", 8, kernel=1, activation=False)
    block = keras.layers.Add(name="model.1.add")([stem, deep])
    down = _conv(block, "model.2", 16, kernel=5, stride=2)
    pool = keras.layers.MaxPooling2D(3, 1, "same", name="model.3.pool")(down)
    joined = keras.layers.Concatenate(name="model.5.cat")([_resize(pool, 2, "model.4"), block])
    boxes = keras.layers.Conv2D(4, 1, padding="valid", name="model.6.boxes")(joined)
    scores = keras.layers.Conv2D(2, 1, padding="same", name="model.6.scores")(joined)
    outputs = {
        "boxes": keras.layers.Reshape((-1, 4), name="model.6.flat")(boxes),
        "scores": keras.layers.Activation("sigmoid", name="model.6.sigmoid")(scores),
    }
    return _convert(keras.Model(image, outputs))


@cache
def heavy() -> bytes:
    """Fits Sabre in 32 to 91 KiB: Vela reads weights ahead where there is room."""
    keras = _keras()
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    found = _conv(image, "model.0", 8, kernel=3, stride=2)
    for row, (channels, stride) in enumerate(((32, 1), (32, 1), (64, 2), (64, 1)), 1):
        found = _conv(found, f"model.{row}", channels, kernel=3, stride=stride)
    return _convert(keras.Model(image, found))


@cache
def bad() -> bytes:
    """Breaks a rule of Katana with nearly every layer."""
    keras = _keras()
    layers = keras.layers
    image = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    wide = layers.Conv2D(8, 9, 1, "same", name="model.0.wide")(image)
    jump = layers.Conv2D(8, 3, 4, "same", activation="relu", name="model.1.jump")(wide)
    edge = layers.Conv2D(8, 3, 1, "valid", name="model.2.edge")(jump)
    silu = layers.Activation("silu", name="model.3.act")(edge)
    sparse = layers.Conv2D(8, 3, padding="same", dilation_rate=2, name="model.4.sparse")(silu)
    pool = layers.MaxPooling2D(9, 1, "same", name="model.5.pool")(sparse)
    big = _resize(pool, 4, "model.6")
    up = layers.Conv2DTranspose(4, 3, 2, "same", name="model.7.up")(pool)
    dense = layers.Dense(3, name="model.8.fc")(layers.Flatten(name="model.8.flat")(pool))
    last = [
        layers.Reshape((-1,), name=f"model.9.out{at}")(x) for at, x in enumerate((big, up, dense))
    ]
    return _convert(keras.Model(image, last))


def _tiled(quantize: bool) -> bytes:
    keras = _keras()
    keras.utils.set_random_seed(0)
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    found = keras.ops.tile(_conv(image, "model.0", 8, kernel=3, stride=8), (1, 1, 2, 1))
    outputs = {}
    for name, channels, scale in (("x1y1", 2, 32.0), ("x2y2", 2, 64.0), ("scores", 3, 1.0)):
        conv = keras.layers.Conv2D(channels, 1, activation="sigmoid", name=f"model.1.{name}")
        outputs[name] = keras.layers.Reshape((-1, channels))(conv(found)) * scale
    return _convert(keras.Model(image, outputs), quantize)


@cache
def tiled() -> tuple[bytes, bytes]:
    """A detector of three classes with an operation that has no reference kernel; float, int8."""
    return _tiled(quantize=False), _tiled(quantize=True)


@cache
def not_quantized() -> bytes:
    """One convolution in float32."""
    keras = _keras()
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    return _convert(keras.Model(image, _conv(image, "model.0", 4, kernel=3)), quantize=False)


@cache
def two_images() -> bytes:
    """Adds two images, which is not what a detector takes."""
    keras = _keras()
    images = [keras.Input((*SHAPE, 1), batch_size=1, name=name) for name in ("left", "right")]
    return _convert(keras.Model(images, keras.layers.Add()(images)), quantize=False)


def _keras() -> Any:
    # triton aborts the interpreter when tensorflow is there first
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")
    return importlib.import_module("keras")


def _conv(
    x: Any,
    name: str,
    filters: int,
    kernel: int,
    stride: int = 1,
    depthwise: bool = False,
    activation: bool = True,
) -> Any:
    layers = _keras().layers
    options = {"padding": "same", "use_bias": False, "name": f"{name}.conv"}
    if depthwise:
        x = layers.DepthwiseConv2D(kernel, stride, **options)(x)
    else:
        x = layers.Conv2D(filters, kernel, stride, **options)(x)
    x = layers.BatchNormalization(name=f"{name}.bn")(x)
    return layers.ReLU(6, name=f"{name}.act")(x) if activation else x


def _resize(x: Any, scale: int, name: str) -> Any:
    size = (x.shape[1] * scale, x.shape[2] * scale)
    return _keras().layers.Resizing(*size, interpolation="nearest", name=f"{name}.resize")(x)


def _convert(model: Any, quantize: bool = True) -> bytes:
    tf = importlib.import_module("tensorflow")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        rng = np.random.default_rng(0)
        images = [rng.random((1, *model.input_shape[1:]), np.float32) for _ in range(4)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()
