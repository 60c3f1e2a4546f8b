"""What Sabre's file says of windows, against what its compiler does with a file that has them."""

from __future__ import annotations

import pytest

from synet.chips import get_chip
from synet.export.tensorflow import import_keras
from synet.quantize import quantize
from synet.verdict.vela import compile_for

SHAPE = (24, 40, 8)


@pytest.fixture(scope="module")
def keras():
    return import_keras()


def left_over(keras, *branches):
    """Operations that Vela leaves to the processor, of one file with all these branches."""
    image = keras.Input(SHAPE, batch_size=1)
    x = keras.layers.Conv2D(8, 1)(image)
    content = quantize(keras.Model(image, [b(x) for b in branches]), number=1, progress=False)
    return [operator.name for operator, _ in compile_for(content, get_chip("sabre")).on_cpu]


def test_windows_that_run_as_they_are(keras):
    layers, ops = keras.layers, keras.ops
    dilated = [layers.Conv2D(8, 3, padding="same", dilation_rate=d) for d in (2, 3)]
    each = [layers.DepthwiseConv2D(3, padding="same", dilation_rate=d) for d in (4, 5)]
    means = [lambda x, a=axis: ops.mean(x, axis=a, keepdims=True) for axis in (1, 2, (1, 2))]
    pools = [layers.AveragePooling2D(8, 3, "same"), layers.AveragePooling2D(9, 1, "valid")]
    assert left_over(keras, *dilated, *each, *means, *pools, lambda x: x[:, 1::3, ::5]) == []


def test_windows_that_do_not(keras):
    pool = keras.layers.AveragePooling2D(9, 1, "same")
    far = keras.layers.Conv2D(8, 6, 4, "same")
    assert sorted(left_over(keras, pool, far)) == ["AVERAGE_POOL_2D", "CONV_2D"]
