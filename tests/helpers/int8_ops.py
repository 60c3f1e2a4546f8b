"""Int8 files of one operation beside the other, each a branch of its own from one image.

`runs` holds every operation that Sabre's file lists, at the limits that it gives them, and
`left` some that Vela leaves to the processor, or that are just beyond such a limit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from synet.export.tensorflow import import_keras, to_float, to_int8

SHAPE = (20, 24, 16)


@cache
def runs() -> bytes:
    """Operations within Sabre's limits."""
    tf, rows = _tensorflow(), (1, 480, 16)
    pad = [[0, 0], [1, 1], [2, 2], [0, 0]]
    return _convert(
        {
            "conv_3": lambda x: tf.nn.conv2d(x, _weights(3, 3, 16, 8), 3, "SAME"),
            "conv_65": lambda x: tf.nn.conv2d(x, _weights(65, 1, 16, 4), 1, "SAME"),
            "conv_valid": lambda x: tf.nn.conv2d(x, _weights(3, 3, 16, 8), 2, "VALID"),
            "conv_dilated": lambda x: tf.nn.conv2d(x, _weights(3, 3, 16, 8), 1, "SAME", None, 5),
            "depthwise": lambda x: tf.nn.depthwise_conv2d(
                x, _weights(3, 3, 16, 1), (1, 3, 3, 1), "SAME"
            ),
            "transposed": lambda x: tf.nn.conv2d_transpose(
                x, _weights(3, 3, 8, 16), (1, 40, 48, 8), 2, "SAME"
            ),
            "dense": lambda x: tf.matmul(tf.reshape(x, (1, -1)), _weights(480 * 16, 4)),
            "add": lambda x: x + x[:, :1, :1],
            "sub": lambda x: 1.0 - x,
            "mul": lambda x: x * tf.sigmoid(x),
            "abs": tf.abs,
            "minimum": lambda x: tf.minimum(x, 0.5),
            "maximum": lambda x: tf.maximum(x, 0.5),
            "sum": lambda x: tf.reduce_sum(x, 3),
            "highest": lambda x: tf.reduce_max(x, 3),
            "mean": lambda x: tf.reduce_mean(x, (1, 2), keepdims=True),
            "concat": lambda x: tf.concat([x[..., 8:], tf.tanh(x)], 3),
            # of a slice, which none of them is fused into
            "relu": lambda x: tf.nn.relu(x[..., 4:]),
            "relu6": lambda x: tf.nn.relu6(x[..., 4:]),
            "unit": lambda x: tf.clip_by_value(x[..., 4:], -1, 1),
            "leaky": tf.nn.leaky_relu,
            "gelu": tf.nn.gelu,
            "hardswish": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
            "exp": tf.exp,
            "log": lambda x: tf.math.log(x + 1.0),
            "softmax": lambda x: tf.nn.softmax(tf.reshape(x, rows)),
            "max_pool": lambda x: tf.nn.max_pool2d(x, 21, 3, "SAME"),
            "average_pool": lambda x: tf.nn.avg_pool2d(x, 8, 3, "SAME"),
            "pad": lambda x: tf.pad(x, pad),
            "pad_with": lambda x: tf.pad(x, pad, constant_values=-1.0),
            "mirror": lambda x: tf.pad(x, pad, "REFLECT"),
            "nearest": lambda x: tf.image.resize(x[..., :4], (160, 192), "nearest"),
            "bilinear": lambda x: tf.image.resize(x[..., :4], (40, 48), "bilinear"),
            "slice": lambda x: tf.slice(x, (0, 0, 0, 4), (1, 20, 24, 8)),
            "split": lambda x: tf.concat(tf.split(x, 4, 3)[::-1], 3),
            "split_v": lambda x: tf.concat(tf.split(x, (4, 12), 3)[::-1], 3),
            "every_other": lambda x: x[:, ::2, ::2],
            "pack": lambda x: tf.stack([x, x], 1),
            "tile": lambda x: tf.tile(x, (1, 2, 2, 1)),
            "transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
        }
    )


@cache
def left() -> bytes:
    """Operations that Vela leaves to the processor."""
    tf = _tensorflow()
    return _convert(
        {
            "gather": lambda x: tf.gather(x, (1, 3), axis=3),
            "shuffle": lambda x: tf.nn.depth_to_space(x, 2),
            "div": lambda x: x / (x + 1.0),
            "stride_4": lambda x: tf.nn.depthwise_conv2d(
                x, _weights(3, 3, 16, 1), (1, 4, 4, 1), "SAME"
            ),
            "pool_9": lambda x: tf.nn.avg_pool2d(x, 9, 1, "SAME"),
            "times_3": lambda x: tf.image.resize(x, (60, 72), "nearest"),
            "times_4": lambda x: tf.image.resize(x, (80, 96), "bilinear"),
            "transposed_3": lambda x: tf.nn.conv2d_transpose(
                x, _weights(3, 3, 8, 16), (1, 60, 72, 8), 3, "SAME"
            ),
        }
    )


def _convert(branches: dict[str, Callable]) -> bytes:
    keras = import_keras()
    image = keras.Input(SHAPE, batch_size=1, name="image")
    outputs = [
        # an image of its own, or the converter leaves some readers of a shared one in float
        keras.layers.Lambda(function, name=f"model.{at}.{name}")(image * (1 + at / 64))
        for at, (name, function) in enumerate(branches.items())
    ]
    model = keras.Model(image, outputs)
    images = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    return to_int8(to_float(model), lambda: images)


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32) - 0.5


def _tensorflow() -> Any:
    import_keras()
    return importlib.import_module("tensorflow")
