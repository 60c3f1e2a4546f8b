"""Small float TFLite files and the int8 ones that are made of them, by layers' paths."""

from __future__ import annotations

import importlib
from functools import cache

import numpy as np

from synet.export.tensorflow import import_keras, to_float, to_int8

SHAPE = (16, 24)
LONG_NAMES = ("model.10.m.0.attention.qkv.conv", "model.22.one2one_cv3.2.1.depthwise.conv")
LOUD = 3000.0  # how much more one channel of `model.1.conv` says than the others


@cache
def pair(loud: bool = True, seed: int = 0) -> tuple[bytes, bytes]:
    """Three convolutions; the last one leaves the loud channel of the second alone."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    bias = keras.initializers.RandomNormal(stddev=0.2)
    one = layers.Conv2D(
        6, 3, 2, "same", activation="relu6", name="model.0.conv", bias_initializer=bias
    )
    two = layers.Conv2D(8, 1, name="model.1.conv", bias_initializer=bias)
    three = layers.Conv2D(4, 3, padding="same", name="model.2.conv", bias_initializer=bias)
    outputs = {
        "rows": layers.Reshape((-1, 4), name="model.3.flat")(three(two(one(image)))),
    }
    model = keras.Model(image, outputs)
    if loud:
        kernel, shift = two.get_weights()
        kernel[..., 0] *= LOUD
        two.set_weights([kernel, shift])
        kernel, shift = three.get_weights()
        kernel[:, :, 0] = 0
        three.set_weights([kernel, shift])
    return _both(model)


@cache
def gate() -> tuple[bytes, bytes]:
    """A probability of logits far beyond what a logistic function tells apart."""
    keras = import_keras()
    keras.utils.set_random_seed(1)
    image = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    logits = keras.layers.Conv2D(4, 1, name="model.0.conv")(image) * 60
    scores = keras.layers.Activation("sigmoid", name="model.0.act")(logits)
    return _both(keras.Model(image, {"scores": scores}))


@cache
def faint() -> tuple[bytes, bytes]:
    """An objectness whose inputs say next to nothing beside its bias, as before training."""
    keras = import_keras()
    keras.utils.set_random_seed(4)
    image = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    features = keras.layers.Conv2D(8, 3, activation="relu6", name="model.0.conv")(image) * 1e-4
    bias = keras.initializers.Constant(-6)
    one = keras.layers.Conv2D(1, 1, name="model.1.conv", bias_initializer=bias)(features)
    each = keras.layers.DepthwiseConv2D(1, name="model.2.conv", bias_initializer=bias)(one * 1e-9)
    rows = [keras.layers.Reshape((-1, 1))(logits) for logits in (one, each)]
    return _both(keras.Model(image, {"rows": keras.layers.Concatenate(name="flat")(rows)}))


@cache
def long_names() -> tuple[bytes, bytes]:
    """Convolutions with paths as long as those of today's YOLOs."""
    keras = import_keras()
    keras.utils.set_random_seed(2)
    image = x = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    for name in LONG_NAMES:
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu6", name=name)(x)
    return _both(keras.Model(image, {"rows": keras.layers.Reshape((-1, 4), name="flat")(x)}))


@cache
def odd_names() -> tuple[bytes, bytes]:
    """Weights of three kinds, a QUANTIZE that is added, a split whose outputs get other names."""
    keras = import_keras()
    tf = importlib.import_module("tensorflow")
    keras.utils.set_random_seed(3)
    image = keras.Input((*SHAPE, 3), batch_size=1, name="image")
    wide = keras.layers.Conv2D(8, 1, name="model.0.conv")(image)
    wide = keras.layers.DepthwiseConv2D(3, padding="same", name="model.0.dw")(wide)
    joined = keras.layers.Lambda(
        lambda x: tf.concat([x[..., 4:] * 3.0, tf.tanh(x)], 3), name="model.1.join"
    )(wide)
    halves = keras.layers.Lambda(
        lambda x: tf.concat(tf.split(x, 2, 3)[::-1], 3), name="model.2.split"
    )(joined)
    classes = keras.layers.Dense(3, name="model.3.fc")(keras.layers.Flatten()(halves))
    return _both(keras.Model(image, {"rows": halves, "classes": classes}))


def changed(model: bytes, tensor: int) -> bytes:
    """A float file with another last weight in a tensor: by a fiftieth of the largest."""
    flatbuffers = importlib.import_module("flatbuffers")
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    buffer = content.buffers[content.subgraphs[0].tensors[tensor].buffer]
    weights = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), np.float32).copy()
    weights[-1] += np.abs(weights).max() / 50
    buffer.data = np.frombuffer(weights.tobytes(), np.uint8)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _both(model) -> tuple[bytes, bytes]:
    content = to_float(model)
    images = np.random.default_rng(0).random((4, *SHAPE, 3), np.float32)
    return content, to_int8(content, lambda: images)
