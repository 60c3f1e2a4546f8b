"""TFLite Micro against the kernels that judge; zoo models and heads have it in their own tests."""

from __future__ import annotations

import sys

import int8_models
import numpy as np
import pytest
from click.testing import CliRunner
from micro_twin import assert_same_in_micro, needs_micro
from small_tflite import packed, unpacked
from stored_outputs import run_stored

from synet.chips import get_chip
from synet.cli import main
from synet.system.errors import SynetError
from synet.tflite import micro
from synet.tflite.kernels import FAST, REFERENCE, open_model
from synet.tflite.micro import run_micro
from synet.verdict.judge import judge

VENDOR = ["person_detection_480x640", "person_pose_detection_256x480"]


@needs_micro
@pytest.mark.parametrize("name", VENDOR)
def test_a_trained_file_gives_the_same_and_the_fast_kernels_do_not(name, shared):
    content = (shared / "models" / f"{name}.tflite").read_bytes()
    assert_same_in_micro(content)
    fast, reference = (open_model(content, kernels=kernels) for kernels in (FAST, REFERENCE))
    image = np.random.default_rng(0).integers(0, 256, fast.input.shape[1:], np.uint8)
    found, exact = run_stored(fast, image), run_stored(reference, image)
    assert any((found[name] != exact[name]).any() for name in exact)


@needs_micro
def test_memory_is_told_without_an_image():
    found = run_micro(int8_models.good())
    assert_same_in_micro(int8_models.good())
    assert found.activation_bytes == judge(int8_models.good(), get_chip("katana")).peak_bytes
    assert f"{found.arena_bytes / 1024:.0f} KiB without the NPU" in str(found)


@needs_micro
def test_what_it_cannot_run_is_one_line():
    model = unpacked(int8_models.good())
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 98  # SELECT
    with pytest.raises(SynetError, match="does not run in TFLite Micro|does not survive") as caught:
        run_micro(packed(model))
    assert "\n" not in str(caught.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(micro, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(SynetError, match=r"needs tflite_micro: pip install"):
        run_micro(int8_models.good())


@needs_micro
def test_profile_tells_the_arena(tmp_path):
    path = tmp_path / "good.tflite"
    path.write_bytes(int8_models.good())
    result = CliRunner().invoke(main, ["profile", str(path), "--chip", "katana"])
    assert result.exit_code == 0, result.output
    assert str(run_micro(int8_models.good())) in result.stdout.splitlines()
