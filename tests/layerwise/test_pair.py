"""Errors of layers that are known: spelled out, or made bad on purpose."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import cv2
import int8_models
import int8_pairs
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from synet.data.calibration import Calibration
from synet.layerwise.origins import NotTwins
from synet.layerwise.pair import compare_files, dump_layers
from synet.system.errors import DataError, SynetError
from synet.tflite.graph import read_graph


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(3)
    for name in ("one.png", "two.png"):
        pixels = random.integers(0, 256, (*int8_pairs.SHAPE, 3), np.uint8)
        cv2.imwrite(str(folder / name), pixels)
    return sorted(folder.iterdir())


def compared(pair, images, **options):
    return compare_files(*pair, images, progress=False, **options)


def by_layer(found):
    return {error.layer: error for error in found.layers}


def run(content, stored, tensors, kernels=OpResolverType.BUILTIN_REF):
    """Tensors of the bare runtime, by name."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=kernels,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored)
    interpreter.invoke()
    return [interpreter.get_tensor(tensor) for tensor in tensors]


def inputs(images):
    return list(Calibration(tuple(images), int8_pairs.SHAPE, 3, "", 0).images())


def decibels(exact, found):
    return 10 * math.log10((exact**2).sum() / ((exact - found) ** 2).sum())


def test_a_loud_channel_is_found_where_it_is(images):
    """Its layer loses most; those after it only inherit."""
    found = compared(int8_pairs.pair(), images)
    number, worst = found.worst()[0]
    assert (number, worst.layer, worst.op) == (2, "model.1.conv", "CONV_2D")
    layers = by_layer(found)
    after = [layers["model.2.conv"], layers["rows (after model.2.conv)"]]
    assert worst.lost_db < 3 and all(error.lost_db > 30 for error in after)
    assert all(error.accumulated.sqnr_db < 3 for error in after)
    assert all(error.lost_db > 30 for error in found.layers if error is not worst)
    assert found.outputs["rows"] == after[-1].accumulated
    quiet = compared(int8_pairs.pair(loud=False), images)
    assert all(error.accumulated.sqnr_db > 30 for error in quiet.layers)


def test_the_own_error_of_a_convolution_spelled_out(images):
    """`model.1.conv`, 1x1, with the scales of the file and nothing of the runtime."""
    exact_file, int8_file = int8_pairs.pair(loud=False)
    graph, floats = read_graph(int8_file), read_graph(exact_file)
    operator, exact = graph.operators[1], floats.operators[1]
    x, y, weights = (
        graph.tensors[n] for n in (*operator.inputs[:1], *operator.outputs, operator.weights)
    )
    step, zero = np.float32(x.scale[0]), x.zero_point[0]
    expected, found = [], []
    for image in inputs(images):
        before, kernel, bias = run(
            exact_file, image[None], [exact.inputs[0], exact.weights, exact.bias]
        )
        stored = np.clip(np.rint(before / step) + zero, -128, 127)
        levels, shift = run(
            int8_file,
            np.zeros((1, *int8_pairs.SHAPE, 3), np.int8),
            [operator.weights, operator.bias],
        )
        sums = (stored - zero).astype(int) @ levels[:, 0, 0].astype(int).T + shift
        scaled = sums * (float(step) * np.array(weights.scale)) / y.scale[0]
        numbers = np.clip(np.rint(scaled) + y.zero_point[0], -128, 127)
        found.append((numbers - y.zero_point[0]) * y.scale[0])
        expected.append((stored - zero) * float(step) @ kernel[:, 0, 0].astype(float).T + bias)
    expected, found = np.stack(expected), np.stack(found)
    own = compared((exact_file, int8_file), images).layers[2].own
    assert own.sqnr_db == pytest.approx(decibels(expected, found), abs=0.02)
    cosine = (expected * found).sum() / math.sqrt((expected**2).sum() * (found**2).sum())
    assert own.cosine == pytest.approx(cosine, abs=1e-6)
    assert own.largest == pytest.approx(np.abs(expected - found).max(), abs=y.scale[0] / 20)


@pytest.mark.parametrize("pair", [int8_pairs.pair, int8_pairs.odd_names])
def test_what_accumulates_is_the_difference_of_the_running_files(pair, images):
    exact_file, int8_file = pair()
    found = compared((exact_file, int8_file), images)
    graph, floats = read_graph(int8_file), read_graph(exact_file)
    image, wanted = graph.tensors[graph.inputs[0]], graph.outputs
    pairs = []
    for pixels in inputs(images):
        stored = np.rint(pixels / np.float32(image.scale[0])) + image.zero_point[0]
        stored = stored.clip(-128, 127).astype(np.int8)
        numbers = run(int8_file, stored[None], wanted)
        fast = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        pairs.append((run(exact_file, pixels[None], floats.outputs, fast), numbers))
    assert len(found.outputs) == len(wanted)
    for at, tensor in enumerate(wanted):
        (scale,), (zero,) = graph.tensors[tensor].scale, graph.tensors[tensor].zero_point
        exact = np.stack([exact[at].astype(float) for exact, _ in pairs])
        real = np.stack([(numbers[at].astype(float) - zero) * scale for _, numbers in pairs])
        layer = graph.writers()[tensor]
        accumulated = [e.accumulated for e in found.layers if e.layer == layer][-1]
        assert accumulated.sqnr_db == pytest.approx(decibels(exact, real), abs=0.01)
        assert accumulated in found.outputs.values()


def test_layers_that_move_numbers_lose_nothing_themselves(images):
    found = compared(int8_pairs.odd_names(), images)
    moving = {"STRIDED_SLICE", "SPLIT", "RESHAPE", "CONCATENATION"}
    assert all(e.own.sqnr_db == math.inf for e in found.layers if e.op in moving)
    assert all(e.accumulated.sqnr_db < 60 for e in found.layers if e.op in moving)
    assert [e.op for e in found.layers].count("SPLIT") == 2
    (added,) = (e for e in found.layers if e.op == "QUANTIZE")
    before = next(e for e in found.layers if e.op == "TANH")
    assert 20 < added.own.sqnr_db < before.own.sqnr_db  # a scale three times as coarse


def test_logits_that_a_logistic_function_does_not_tell_apart(images):
    """The file stores them up to 8 and no further, and that is no error."""
    found = by_layer(compared(int8_pairs.gate(), images))
    conv = found["model.0.conv"]
    assert conv.own.sqnr_db > 40 and conv.own.largest < 8
    exact_file, _ = int8_pairs.gate()
    (logits,) = run(
        exact_file, inputs(images)[0][None], [read_graph(exact_file).operators[0].outputs[0]]
    )
    assert np.abs(logits).max() > 20


def test_layers_that_these_images_hardly_speak_to(tmp_path):
    """Of a black image, the input says nothing."""
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((*int8_pairs.SHAPE, 3), np.uint8))
    found = compared(int8_pairs.pair(), [tmp_path / "black.png"])
    assert found.layers[0].is_faint and found.layers[0].audible == 0
    assert found.worst()[-1][1].layer == "input"
    assert not found.layers[1].is_faint


def test_the_image_itself(images):
    first = compared(int8_pairs.pair(), images).layers[0]
    assert (first.layer, first.op, first.shape) == ("input", "INPUT", (1, *int8_pairs.SHAPE, 3))
    assert first.own == first.accumulated and first.own.sqnr_db > 40


def test_dumps_are_what_the_files_compute(images, tmp_path):
    exact_file, int8_file = int8_pairs.odd_names()
    found = compared((exact_file, int8_file), images, dump=tmp_path / "layers")
    told = json.loads((tmp_path / "layers" / "layers.json").read_text("utf-8"))
    assert told["images"] == [str(image) for image in images]
    graph = read_graph(int8_file)
    assert [(each["layer"], each["op"]) for each in told["layers"]] == [
        (error.layer, error.op) for error in found.layers
    ]
    image = graph.tensors[graph.inputs[0]]
    tensors = [each.tensor for each in graph.written()]
    for at, pixels in enumerate(inputs(images)):
        stored = np.rint(pixels / np.float32(image.scale[0])) + image.zero_point[0]
        expected = run(int8_file, stored.clip(-128, 127).astype(np.int8)[None], tensors)
        for each, numbers in zip(told["layers"], expected, strict=True):
            dumped = np.load(tmp_path / "layers" / each["int8"], allow_pickle=False)
            assert dumped.dtype == np.int8
            np.testing.assert_array_equal(dumped[at], numbers[0])
            exact = np.load(tmp_path / "layers" / each["float"], allow_pickle=False)
            assert exact.dtype == np.float32 and exact.shape == dumped.shape
            real = (dumped.astype(float) - each["zero_point"]) * each["scale"]
            error = found.layers[each["number"]].accumulated
            assert np.abs(real - exact).max() <= error.largest * 1.01 + 1e-6
    lines = (tmp_path / "layers" / "errors.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + len(found.layers)
    assert lines[1].startswith(f"{found.worst()[0][0]},")


def test_the_dump_of_an_int8_file_alone(images, tmp_path):
    exact_file, int8_file = int8_pairs.pair()
    dump_layers(int8_file, images, tmp_path / "alone", progress=False)
    compared((exact_file, int8_file), images, dump=tmp_path / "both")
    assert sorted(os.listdir(tmp_path / "alone")) == ["int8", "layers.json"]
    names = sorted(os.listdir(tmp_path / "both" / "int8"))
    assert sorted(os.listdir(tmp_path / "alone" / "int8")) == names
    for name in names:
        alone = (tmp_path / "alone" / "int8" / name).read_bytes()
        assert alone == (tmp_path / "both" / "int8" / name).read_bytes()


def test_a_file_without_paths_of_layers(tmp_path, images):
    dump_layers(int8_models.good(), images[:1], tmp_path / "out", progress=False)
    assert len(os.listdir(tmp_path / "out" / "int8")) == len(
        read_graph(int8_models.good()).written()
    )


def test_an_operation_without_a_reference_kernel(images, tmp_path, caplog):
    import int8_ops

    assert "TILE" in {op.name for op in read_graph(int8_ops.runs()).operators}
    with pytest.raises(SynetError, match="takes 16 channels"):
        dump_layers(int8_ops.runs(), images[:1], tmp_path / "out", progress=False)
    (record,) = caplog.records
    assert "TILE" in record.message and "fast kernels" in record.message
    assert os.listdir(tmp_path) == []
    found = compared(int8_models.tiled(), images[:1])
    assert " layers on 1 image and the fast kernels: outputs " in found.verdict()
    assert found.outputs["scores"].sqnr_db > 20
    assert " layers on 1 image: " in compared(int8_pairs.pair(), images[:1]).verdict()


def test_the_files_of_two_trainings(images, tmp_path):
    other = int8_pairs.pair(loud=False, seed=1)[1]
    with pytest.raises(NotTwins, match="the weights of model.0.conv are not"):
        compared((int8_pairs.pair(loud=False)[0], other), images, dump=tmp_path / "out")
    with pytest.raises(NotTwins, match="the float model has no CONV_2D model.0.conv of 16x24x8"):
        compared((int8_pairs.pair()[0], int8_pairs.odd_names()[1]), images)
    assert os.listdir(tmp_path) == []


def test_an_image_that_is_none_leaves_nothing(images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match="bad.png: not an image"):
        compared(int8_pairs.pair(), [*images, bad], dump=tmp_path / "out")
    assert os.listdir(tmp_path) == ["bad.png"]
    assert isinstance(images[0], Path)
