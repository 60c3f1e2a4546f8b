"""The int8 scales that are known, of files that are calibrated on images which show little."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads

from synet.export.convert import to_keras
from synet.export.tensorflow import import_keras, to_float, to_int8
from synet.tflite.graph import read_graph
from synet.tflite.model import TfliteModel

SHAPE = (16, 24)
DARK = list(np.random.default_rng(0).random((3, *SHAPE, 1), np.float32) / 5)


def file_of(build, images=DARK) -> bytes:
    """The int8 file of what `build` makes of an image, by Keras and by its layers."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    return to_int8(to_float(keras.Model(image, build(image, keras))), lambda: images)


def scales(content: bytes) -> dict[str, tuple[float, int]]:
    return {port.name: (port.scale, port.zero_point) for port in TfliteModel(content).outputs}


def conv(filters, **options):
    """A convolution that makes little of dark images, and much of bright ones."""
    return import_keras().layers.Conv2D(filters, 1, kernel_initializer="ones", **options)


@pytest.mark.parametrize("images", [DARK, [x * 5 for x in DARK], [x * 0 + 0.5 for x in DARK]])
def test_a_pixel_is_stored_as_itself_less_128(images):
    model = TfliteModel(file_of(lambda image, keras: conv(4)(image), images))
    assert model.input.scale == np.float32(1 / 255)
    assert model.input.zero_point == -128
    levels = np.arange(256)
    np.testing.assert_array_equal(model.input.quantize(levels / np.float32(255)), levels - 128)


def test_the_image_keeps_its_scale_where_it_is_cut_and_joined():
    def focus(image, keras):
        parts = [image[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
        padded = keras.ops.pad(keras.ops.concatenate(parts, 3), ((0, 0), (1, 1), (1, 1), (0, 0)))
        return conv(4)(keras.layers.MaxPooling2D(2)(padded))

    graph = read_graph(file_of(focus))
    (first,) = [op for op in graph.operators if op.name == "CONV_2D"]
    before = graph.operators[: graph.operators.index(first)]
    assert {"STRIDED_SLICE", "CONCATENATION", "MAX_POOL_2D"} <= {op.name for op in before}
    assert "QUANTIZE" not in {op.name for op in graph.operators}
    for operator in before:
        assert graph.tensors[operator.outputs[0]].scale == pytest.approx((1 / 255,))


def test_an_image_that_is_shifted_and_scaled():
    found = scales(file_of(lambda image, keras: {"moved": image * 2.0 - 1.0}))
    assert found["moved"][0] == pytest.approx(2 / 255)
    assert abs(found["moved"][1]) <= 1


@pytest.mark.parametrize(("unit", "side"), [(4.0, 24), (1 / 6, 1)], ids=["pixels", "fractions"])
def test_corners_reach_to_the_side(unit, side):
    """Though on none of the images anything is there, and back to where they are clipped."""

    def corners(image, keras):
        parts = [keras.ops.relu6(conv(2, bias_initializer="ones")(image)) for _ in range(2)]
        rows = keras.ops.concatenate([keras.ops.reshape(p, (1, -1, 2)) for p in parts], 1)
        return {"x1y1": rows * unit, "other": rows * unit}

    content = file_of(corners)
    assert scales(content)["x1y1"] == (pytest.approx(side / 255), -128)
    graph = read_graph(content)
    (joined,) = [op for op in graph.operators if op.name == "CONCATENATION"]
    before = graph.operators[: graph.operators.index(joined) + 1]
    for operator in before:
        assert graph.tensors[operator.outputs[0]].scale == pytest.approx((6 / 255,))


def test_what_is_a_chance_by_its_name_and_its_values():
    def outputs(image, keras):
        one, two = (conv(1)(image) for _ in range(2))
        return {
            "scores": keras.ops.sigmoid(one) * keras.ops.sigmoid(two),
            "presence": keras.ops.reshape(two * 10.0, (1, -1)),  # no chance, whatever its name
        }

    found = scales(file_of(outputs))
    assert found["scores"] == (1 / 256, -128)
    assert found["presence"][0] == pytest.approx(10 * max(x.max() for x in DARK) / 255, rel=0.01)


def test_the_outputs_of_a_head_for_keypoints():
    network = heads.network(heads.Pose(nc=1, kpt_shape=(4, 3)))
    images = [np.full((64, 96, 1), level, np.float32) for level in (0.0, 0.02)]
    found = scales(to_int8(to_float(to_keras(network, (64, 96), 1)), lambda: images))
    in_pixels, chance = (pytest.approx(96 / 255), -128), (1 / 256, -128)
    assert found == {
        **dict.fromkeys(("x1y1", "x2y2", "keypoints"), in_pixels),
        **dict.fromkeys(("scores", "presence"), chance),
    }


def test_an_angle_is_a_logistic_function_moved():
    network = heads.network(heads.Rotated8())
    images = [np.full((64, 96, 1), level, np.float32) for level in (0.0, 0.02)]
    found = scales(to_int8(to_float(to_keras(network, (64, 96), 1)), lambda: images))
    assert found["angle"][0] == pytest.approx(np.pi / 256, rel=0.01)
