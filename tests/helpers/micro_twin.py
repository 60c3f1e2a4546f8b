"""A file in TFLite Micro and on the kernels that judge it."""

from __future__ import annotations

import numpy as np
import pytest
from stored_outputs import run_stored

from synet.tflite.kernels import open_model
from synet.tflite.micro import MicroRun, is_installed, run_micro

needs_micro = pytest.mark.skipif(not is_installed(), reason="tflite-micro is not installed")


def assert_same_in_micro(content: bytes, seed: int = 0) -> MicroRun | None:
    """Both give the same outputs for an image of noise, bit for bit."""
    if not is_installed():
        return None
    model = open_model(content)
    limits = np.iinfo(model.input.dtype)
    random = np.random.default_rng(seed)
    image = random.integers(limits.min, limits.max, model.input.shape, model.input.dtype, True)
    ours, theirs = run_stored(model, image), run_micro(content, image)
    assert [*theirs.outputs] and {port.index for port in model.outputs} == {*theirs.outputs}
    for port in model.outputs:
        np.testing.assert_array_equal(theirs.outputs[port.index], ours[port.name], port.name)
    assert 0 < theirs.activation_bytes < theirs.arena_bytes
    return theirs
