"""What the page says that firmware gives a file, and takes from it."""

from __future__ import annotations

import numpy as np
import pytest

from synet.detections.tflite_outputs import ROLES
from synet.report.interface import MEANINGS, Tensor, _feed, interface
from synet.tflite.model import Port, TfliteModel


def port(scale: float, zero_point: int, dtype: type = np.int8) -> Port:
    return Port("image", (1, 8, 8, 1), np.dtype(dtype), scale, zero_point, 0)


def test_every_role_has_a_meaning():
    assert MEANINGS.keys() == ROLES


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (port(float(np.float32(1 / 255)), -128), "pixel − 128"),
        (port(float(np.float32(1 / 255)), 0, np.uint8), "pixel"),
        (port(0.0, 0, np.float32), "pixel / 255"),
        # of dark images: all that is brighter than half is one level
        (port(0.5 / 255, -128), "round(pixel / 255 / 0.00196078431) − 128, within int8"),
        (port(1.7 / 255, 3), "round(pixel / 255 / 0.00666666667) + 3, within int8"),
    ],
)
def test_how_a_pixel_is_stored(image, told):
    assert _feed(image) == told
    if told.startswith("round"):
        pixels = np.arange(256)
        stored = np.rint(pixels / 255 / image.scale) + image.zero_point
        np.testing.assert_array_equal(
            image.quantize(pixels.astype(np.float32) / 255), np.clip(stored, -128, 127)
        )


def test_what_a_tensor_holds():
    held = Tensor(port(0.5, -28), "")
    assert (held.low, held.high) == (-50, 77.5)
    plain = Tensor(port(0.0, 0, np.float32), "")
    assert (plain.low, plain.high) == (None, None)


def test_a_vendors_file_whose_outputs_have_other_names(shared):
    model = TfliteModel(shared / "models" / "person_detection_480x640.tflite")
    told = interface(model)
    assert told.input.port.shape == (1, 480, 640, model.channels)
    assert [each.port for each in told.outputs] == list(model.outputs)
    assert {each.meaning for each in told.outputs} == {
        MEANINGS[role] for role in ("x1y1", "x2y2", "scores")
    }
