"""Which kernels judge a file, and what is told of them."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import int8_models
import int8_ops
import numpy as np
import pytest
from click.testing import CliRunner
from stored_outputs import run_stored
from vendors_files import vendors_file

from synet.cli import main
from synet.data.yolo_yaml import load_dataset
from synet.evaluation.evaluate import evaluate
from synet.models.predictor import load_predictor
from synet.tflite.kernels import FAST, REFERENCE, Kernels, kernels_of, open_model

PERSON = "person_detection_480x640.tflite"


def images(count, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture
def vendor(shared):
    return vendors_file(shared, PERSON)


def test_the_reference_kernels_are_the_default():
    model = open_model(int8_models.good())
    assert model.kernels == REFERENCE and kernels_of(model) == Kernels("reference")
    assert str(kernels_of(model)) == "reference kernels"


def test_the_first_images_of_the_fast_ones_are_checked(vendor):
    checked = open_model(vendor, kernels=FAST, checked=2)
    fast, exact = (open_model(vendor, kernels=kernels) for kernels in (FAST, REFERENCE))
    assert kernels_of(checked) == Kernels("fast")  # nothing has run yet
    steps = []
    for number, image in enumerate(images(3, checked.input.shape[1:])):
        found = checked.run(image)
        quick, slow = run_stored(fast, image), run_stored(exact, image)
        for port in fast.outputs:
            np.testing.assert_array_equal(found[port.name], port.dequantize(quick[port.name]))
            if number < 2:
                off = quick[port.name].astype(int) - slow[port.name]
                steps.append(np.abs(off).ravel())
    steps = np.concatenate(steps)
    told = kernels_of(checked)
    assert (told.name, told.images, told.steps) == ("fast", 2, steps.max())
    assert told.steps > 1 and told.share == pytest.approx((steps > 0).mean(), abs=1e-4)
    assert f"up to {steps.max()} of 255 steps off the reference" in str(told)


def test_a_model_without_reference_kernels_runs_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "synet"):
        model = open_model(int8_ops.runs())
    assert model.kernels == FAST
    assert "does not run on the reference kernels: " in caplog.text
    assert "'TILE'" in caplog.text and "the fast kernels run" in caplog.text
    checked = open_model(int8_ops.runs(), kernels=FAST, checked=2)
    checked.run(images(1, checked.input.shape[1:])[0])
    for each in (model, checked):
        assert kernels_of(each) == Kernels("fast", alone=True)
        assert str(kernels_of(each)).endswith("the reference kernels do not run the file")


def test_threads_have_an_interpreter_each():
    model = open_model(int8_models.good())
    pictures = images(12, model.input.shape[1:])
    one_by_one = [run_stored(model, image) for image in pictures]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(partial(run_stored, model), pictures))
    for ours, theirs in zip(one_by_one, at_once, strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])


def test_reports_say_what_judged(vendor, shared, tmp_path):
    """Average precision of both kernels, on few images; and how far the fast ones were off."""
    data = shared / "data" / "coco128" / "coco128.yaml"
    few = tmp_path / "few.txt"
    files = load_dataset(data).images("val")[:2]
    few.write_text("".join(f"{file}\n" for file in files))
    yaml = tmp_path / "few.yaml"
    yaml.write_text(f"val: {few}\nnames: {list(load_dataset(data).names)}\n")
    found = {
        kernels: evaluate(vendor, yaml, classes=["person"], progress=False, kernels=kernels)
        for kernels in (FAST, REFERENCE)
    }
    assert found[REFERENCE].kernels == Kernels("reference")
    assert found[FAST].kernels.images == 2 and found[FAST].kernels.steps > 1
    assert found[FAST].map50 == pytest.approx(found[REFERENCE].map50, abs=0.05)
    options = ["--data", str(yaml), "--classes", "person"]
    result = CliRunner().invoke(main, ["evaluate", str(vendor), *options])
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().endswith("of the values of 2 images")
    out = tmp_path / "out"
    options = ["--models", str(vendor), "--classes", "person", "--project", str(out)]
    result = CliRunner().invoke(main, ["metrics", str(yaml), *options, "--kernels", "reference"])
    assert result.exit_code == 0, result.output
    told = json.loads((out / "exp" / "metrics.json").read_text())
    assert told["models"][0]["kernels"]["name"] == "reference"
    predict = ["predict", str(vendor), str(files[0]), "--out", str(out / "drawn"), "--no-raw"]
    for kernels, name in (([], "reference"), (["--kernels", "fast"], "fast")):
        assert CliRunner().invoke(main, [*predict, *kernels]).exit_code == 0
        folder = max((out / "drawn").iterdir())
        assert json.loads((folder / "images.json").read_text())["info"]["kernels"]["name"] == name


def test_only_the_reference_kernels_run_several_images_at_once(vendor):
    assert load_predictor(vendor, threads=3).at_once == 3
    assert load_predictor(vendor, threads=3, kernels=FAST).at_once == 1
