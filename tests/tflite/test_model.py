from __future__ import annotations

import io
import json
import zipfile

import int8_models
import numpy as np
import pytest
from stored_outputs import run_stored

from synet.system.errors import SynetError
from synet.tflite.graph import read_graph
from synet.tflite.kernels import FAST, REFERENCE
from synet.tflite.model import (
    TensorRunner,
    TfliteModel,
    embed_metadata,
    read_content,
    read_metadata,
)


@pytest.fixture(scope="module")
def model():
    return TfliteModel(int8_models.good())


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (*int8_models.SHAPE, 1), dtype=np.uint8)


def interpreted(content, stored, kernels=REFERENCE):
    """The outputs of the bare runtime, by tensor index."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kinds = {REFERENCE: OpResolverType.BUILTIN_REF, FAST: OpResolverType.AUTO}
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kinds[kernels])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored)
    interpreter.invoke()
    return {
        d["index"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()
    }


def test_describes_its_ends(model):
    assert model.image_shape == int8_models.SHAPE
    assert model.channels == 1
    assert model.input.shape == (1, *int8_models.SHAPE, 1) and model.input.dtype == np.int8
    shapes = {port.name: port.shape for port in model.outputs}
    assert shapes == {"boxes": (1, 24 * 32, 4), "scores": (1, 24, 32, 2)}
    assert model.metadata == {}


@pytest.mark.parametrize("kernels", [REFERENCE, FAST])
def test_runs_as_the_bare_runtime_does(image, kernels):
    model = TfliteModel(int8_models.good(), kernels=kernels)
    scale, zero_point = model.input.scale, model.input.zero_point
    stored = np.clip(np.rint(image / 255 / scale) + zero_point, -128, 127).astype(np.int8)
    expected = interpreted(int8_models.good(), stored[None], kernels)
    raw, real = run_stored(model, image), model.run(image)
    assert list(raw) == list(real) == ["boxes", "scores"]
    for port in model.outputs:
        assert raw[port.name].dtype == np.int8
        np.testing.assert_array_equal(raw[port.name], expected[port.index])
        assert real[port.name].dtype == np.float32
        np.testing.assert_allclose(
            real[port.name],
            (expected[port.index].astype(float) - port.zero_point) * port.scale,
            rtol=1e-6,
        )
    assert len(np.unique(raw["boxes"])) > 10  # not a constant that anything would equal
    assert 0 < real["scores"].min() <= real["scores"].max() < 1


def test_every_form_of_one_image_gives_the_same(model, image):
    expected = run_stored(model, image)["boxes"]
    real = image.astype(np.float32) / 255
    for form in (
        image[None],
        real,
        real.astype(np.float64),
        real[None],
        model.input.quantize(real),
    ):
        np.testing.assert_array_equal(run_stored(model, form)["boxes"], expected)


def test_results_outlive_the_next_run(model, image):
    first = run_stored(model, image)["boxes"]
    kept = first.copy()
    model.run(255 - image)
    np.testing.assert_array_equal(first, kept)


def test_quantize_rounds_and_clips_and_comes_back(model):
    port = model.input
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32)
    stored = port.quantize(values)
    assert stored.dtype == np.int8 and stored.tolist()[:2] == [-128, -128] and stored[-1] == 127
    np.testing.assert_allclose(port.dequantize(stored), values.clip(0, 1), atol=port.scale / 2)


def test_a_float_model_keeps_its_values(image):
    model = TfliteModel(int8_models.not_quantized())
    stored = image.astype(np.float32) / 255
    (expected,) = interpreted(int8_models.not_quantized(), stored[None]).values()
    (output,) = model.run(image).values()
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(next(iter(model.run(stored).values())), expected)


def test_wrong_images_are_refused(model, image):
    with pytest.raises(SynetError, match=r"takes an image of \(48, 64, 1\), given \(64, 48, 1\)"):
        model.run(image.transpose(1, 0, 2))
    with pytest.raises(SynetError, match="given int32"):
        model.run(image.astype(np.int32))


def test_what_is_not_a_model_of_one_image_is_refused(tmp_path):
    with pytest.raises(SynetError, match="only models of one image"):
        TfliteModel(int8_models.two_images())
    path = tmp_path / "cut.tflite"
    path.write_bytes(int8_models.good()[:2000])
    with pytest.raises(SynetError, match="cut.tflite is damaged, make it again") as error:
        TfliteModel(path)
    assert "\n" not in str(error.value)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(SynetError, match="cut.tflite is not a TFLite file"):
        TfliteModel(path)
    with pytest.raises(SynetError, match="cannot read .*none.tflite"):
        read_content(tmp_path / "none.tflite")


METADATA = {"names": ["круг", "square"], "image_shape": [48, 64], "seed": 0}


def test_metadata_travels_and_every_zip_tool_reads_it(tmp_path, image):
    path = tmp_path / "model.tflite"
    path.write_bytes(embed_metadata(int8_models.good(), METADATA))
    assert read_metadata(path) == METADATA
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["metadata.json"]
        assert json.loads(archive.read("metadata.json")) == METADATA
        assert archive.testzip() is None
    model = TfliteModel(path)
    assert model.metadata == METADATA
    np.testing.assert_array_equal(
        model.run(image)["boxes"], TfliteModel(int8_models.good()).run(image)["boxes"]
    )


def test_metadata_is_replaced_and_the_same_bytes_every_time():
    once = embed_metadata(int8_models.good(), {"a": 1})
    again = embed_metadata(once, METADATA)
    assert read_metadata(again) == METADATA
    assert again == embed_metadata(int8_models.good(), METADATA)
    assert again.startswith(int8_models.good())
    assert read_metadata(int8_models.good()) == {}


def test_other_files_in_the_archive_are_kept():
    stream = io.BytesIO(int8_models.good())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("labels.txt", "circle\n")
    content = embed_metadata(stream.getvalue(), METADATA)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["metadata.json", "labels.txt"]
        assert archive.read("labels.txt") == b"circle\n"


@pytest.mark.parametrize(
    ("text", "message"), [("{'names': 1}", "is damaged"), ("[1]", "not a JSON object")]
)
def test_damaged_metadata_names_the_file(tmp_path, text, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(int8_models.good())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", text)
    with pytest.raises(SynetError, match=f"model.tflite: the embedded metadata.json .*{message}"):
        TfliteModel(path)


def test_the_vendors_detector(shared):
    model = TfliteModel(shared / "models" / "person_detection_480x640.tflite")
    assert (model.image_shape, model.channels) == ((480, 640), 3)
    outputs = model.run(np.full((480, 640, 3), 114, np.uint8))
    assert [value.shape for value in outputs.values()] == [(1, 1500, 2), (1, 1500, 2), (1, 1500, 1)]
    top_left, bottom_right, scores = outputs.values()
    assert (top_left < bottom_right).mean() > 0.99
    assert scores.max() < 0.25  # nobody is there


def test_a_run_in_two_steps(image):
    model = TfliteModel(int8_models.good(), threads=1)
    assert model.threads == 1 <= TfliteModel(int8_models.good()).threads <= 4
    expected = run_stored(model, image)
    model.place(np.zeros_like(image))
    model.invoke()
    other = run_stored(model, np.zeros_like(image))
    assert any((expected[name] != other[name]).any() for name in other)
    model.place(image)
    model.invoke()
    for name, values in run_stored(model, image).items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("reference_kernels", [True, False])
def test_every_tensor_can_be_seen(model, image, reference_kernels):
    """Those of additions, too, in whose place the runtime would write the sum."""
    graph = read_graph(int8_models.good())
    runner = TensorRunner(int8_models.good(), reference_kernels)
    assert runner.inputs == graph.inputs
    stored = model.input.quantize(image[None] / np.float32(255))
    runner.run({graph.inputs[0]: stored})
    np.testing.assert_array_equal(runner.values(graph.inputs[0]), stored)
    for port in model.outputs:
        off = runner.values(port.index).astype(int) - run_stored(model, image)[port.name]
        assert np.abs(off).max() <= 3  # kernels round differently
    (add,) = (op for op in graph.operators if op.name == "ADD")
    real = [runner.ports[n].dequantize(runner.values(n)) for n in (*add.inputs, *add.outputs)]
    assert np.abs(real[0] + real[1] - real[2]).max() <= runner.ports[add.outputs[0]].scale
    assert not np.array_equal(real[0], real[2])
    constant = runner.values(graph.operators[0].weights)
    assert constant.dtype == np.int8 and constant.any()


def test_a_model_that_the_runtime_cannot_run():
    import int8_ops

    with pytest.raises(SynetError, match="does not run in LiteRT: .*'TILE'") as caught:
        TensorRunner(int8_ops.runs(), reference_kernels=True)
    assert "\n" not in str(caught.value)
    assert not TensorRunner(int8_ops.runs()).reference_kernels
