"""What an int8 file is held against, on networks that find something, nothing, and say nothing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import small_heads as heads

from synet.export.convert import to_keras
from synet.export.tensorflow import to_float, to_int8
from synet.quantization import proof as module
from synet.quantization.agreement import Agreement
from synet.quantization.proof import Proof, prove, unproven
from synet.tflite.metadata import doubt_of, embed_metadata, read_metadata

SHAPE = (64, 96)
IMAGES = list(np.random.default_rng(0).random((2, *SHAPE, 1), np.float32))
SURE = Agreement(0.0035, 0.0012, 1932)


@pytest.fixture(scope="module")
def pair():
    """A float file, the int8 one, and the same calibrated on what is next to black."""
    network = heads.network(heads.Pose())
    exact = to_float(to_keras(network, SHAPE, 1))
    dark = [image / 50 for image in IMAGES]
    return exact, to_int8(exact, lambda: IMAGES), to_int8(exact, lambda: dark)


def test_rows_that_float_is_sure_of(pair):
    found = prove(IMAGES, *pair[:2], SHAPE, "model.2")
    assert found.proven and found.bar == "rows"
    assert found.agreement.rows > 0 and found.images == 2
    assert str(found).endswith(f"mean of {found.agreement.rows} confident values: proven")


def test_features_where_float_is_sure_of_nothing(pair, monkeypatch):
    """Its head is the third layer, and reads what the two others write."""
    monkeypatch.setattr(module, "CONFIDENT", 2.0)
    found = prove(IMAGES, *pair[:2], SHAPE, "model.2")
    assert found.proven and found.bar == "features"
    assert found.features_db > 25
    assert 0 < found.ranks <= 1
    assert f"features before the head {found.features_db:.1f} dB" in str(found)
    dark = prove(IMAGES, pair[0], pair[2], SHAPE, "model.2")
    assert dark.bar == "features" and not dark.proven and not dark.is_beyond
    assert dark.features_db < module.FEATURE_BAR
    assert "not proven: " in str(dark) and ", bar " in str(dark)


def test_features_that_say_nothing(pair, monkeypatch):
    monkeypatch.setattr(module, "CONFIDENT", 2.0)
    found = prove(IMAGES, *pair[:2], SHAPE, "another")
    assert not found.proven and found.bar == "none"
    assert "sure of nothing in 2 images" in str(found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Proof("rows", SURE, 16), {"proven": True, "bar": "confident rows", "scores": 0.0035}),
        (
            Proof("features", SURE, 16, 31.25, 0.8),
            {"proven": True, "bar": "all rows and features", "features_db": 31.25, "ranks": 0.8},
        ),
        (
            Proof("features", SURE, 16, 2.0, float("nan"), "2.0 dB"),
            {"proven": False, "missed": "2.0 dB", "values": 1932},
        ),
        (unproven("nobody looked"), {"proven": False, "bar": "none", "missed": "nobody looked"}),
    ],
)
def test_it_travels_in_the_file(found, said, pair):
    content = embed_metadata(pair[1], {"proof": found.metadata()})
    told = read_metadata(content)
    assert told["proof"].items() >= said.items()
    json.dumps(told, allow_nan=False)
    assert doubt_of(told) == (
        "" if found.proven else f"not proven to do what the float model does: {found.missed}"
    )


def test_what_misses_the_bar_of_rows_is_another_model():
    assert dataclasses.replace(Proof("rows", SURE), missed="too far").is_beyond
    assert not dataclasses.replace(Proof("features", SURE), missed="too far").is_beyond


def test_places_in_a_ranking():
    np.testing.assert_allclose(module._ranks(np.array([5.0, 1, 5, 9])), [2.5, 1, 2.5, 4])
