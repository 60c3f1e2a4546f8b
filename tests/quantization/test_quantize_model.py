"""From torch to int8, on models that are built and converted in seconds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import small_heads as heads
import tiny_yolo

from synet.chips import get_chip
from synet.data.calibration import Calibration
from synet.detections.score_shift import float_twin
from synet.models.get_model import get_model
from synet.quantization import proof
from synet.quantization import quantize_model as module
from synet.quantization.quantize_model import quantize_checkpoint, quantize_model
from synet.safety.rows import make_rows_safe
from synet.system.errors import ChipError, SynetError, VerificationError
from synet.tflite.metadata import is_random
from synet.tflite.model import TfliteModel, read_metadata


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def tiny(tmp_path):
    return tiny_yolo.write(tmp_path)


def test_the_untrained_model_of_a_yaml(tiny, data, caplog):
    result = quantize_model(tiny, data, number=3, progress=False)
    assert result.path == Path("model.tflite")
    assert result.path.read_bytes() == result.content
    assert result.problems == ()
    assert max(result.keras.scores, result.keras.boxes) <= module.KERAS_BAR
    assert result.keras.rows > 0
    model = TfliteModel(result.content)
    rows = 3 * (8 * 12 + 4 * 6)
    assert {port.name: port.shape for port in model.outputs} == {
        "x1y1": (1, rows, 2),
        "x2y2": (1, rows, 2),
        "scores": (1, rows, 2),
    }
    found = read_metadata(result.content)
    assert found["names"] == list(tiny_yolo.NAMES)
    assert (found["task"], found["strides"], found["chip"]) == ("detect", [8, 16], "katana")
    assert (found["image_shape"], found["colour"]) == ([64, 96], "grayscale")
    told = found["proof"]  # it finds nothing, and is held to its features
    assert told["proven"] and told["bar"] == "all rows and features"
    assert (told["images"], told["values"]) == (3, 3 * rows * 2)
    assert told["features_db"] == pytest.approx(result.proof.features_db, abs=1e-5)
    assert told["features_db"] > 20 and not caplog.records
    again = quantize_model(tiny, data, number=3, progress=False)  # replaces its own file
    assert [p.name for p in Path().iterdir()] == ["model.tflite"]
    assert again.calibration == result.calibration


def test_the_layers_of_an_image(tiny, data, tmp_path):
    """By the paths of the fork's modules, in float and in int8."""
    image = data.parent / "val" / "images" / "0.png"
    dump = tmp_path / "layers"
    result = quantize_model(tiny, data, number=3, dump_layers=(image, dump), progress=False)
    told = json.loads((dump / "layers.json").read_text("utf-8"))
    assert told["images"] == [str(image)]
    names = [layer["layer"] for layer in told["layers"]]
    assert names[:4] == ["input", "model.1.first.conv", "model.1.second.conv", "model.2.conv"]
    assert [error.layer for error in result.layers.layers] == names
    assert result.layers.images == (image,)
    calibration = Calibration((image,), (64, 96), 1, "", 0)
    stored = TfliteModel(result.content).input.quantize(next(calibration.images()))
    first = np.load(dump / "int8" / "000-input.npy", allow_pickle=False)
    np.testing.assert_array_equal(first[0], stored)
    for kind in ("int8", "float"):
        assert len(list((dump / kind).iterdir())) == len(names)


def test_a_dump_that_cannot_be_is_told_before_the_work(tiny, data, tmp_path):
    image = data.parent / "val" / "images" / "0.png"
    for dump, said in [
        ((tmp_path / "none.png", tmp_path / "layers"), "none.png: cannot read the image"),
        ((image, data.parent), "exists and is no empty folder"),
    ]:
        with pytest.raises(SynetError, match=said):
            quantize_model(tiny, data, dump_layers=dump, progress=False)
    assert not list(Path().iterdir())


def test_a_model_with_keypoints(data, monkeypatch):
    network = heads.network(heads.Pose(nc=1, kpt_shape=(4, 3)))
    network.image_shape = (64, 96)
    monkeypatch.setattr("synet.models.get_model.get_model", lambda *_, **__: network)
    roomy = get_chip("katana")
    roomy = dataclasses.replace(roomy, ops={**roomy.ops, "SOFTMAX": roomy.ops["RESHAPE"]})
    monkeypatch.setattr("synet.quantization.candidate.get_chip", lambda name: roomy)
    result = quantize_model("best.pt", data, number=3, progress=False)
    assert result.problems == ()
    found = read_metadata(result.content)
    assert (found["task"], found["kpt_shape"], found["channels"]) == ("pose", [4, 3], 1)
    shapes = {port.name: port.shape for port in TfliteModel(result.content).outputs}
    rows = 8 * 12 + 4 * 6
    assert shapes["keypoints"] == (1, rows, 8) and shapes["presence"] == (1, rows, 4)


OUTPUTS = {"x1y1", "x2y2", "scores"}


@pytest.mark.parametrize(
    ("kind", "task", "outputs"),
    [
        (heads.Segment, "segment", OUTPUTS | {"coefficients", "prototypes"}),
        (heads.Rotated8, "obb", {"sides", "angle", "scores"}),
        (heads.Classify, "classify", {"probabilities"}),
    ],
)
def test_models_for_other_tasks(kind, task, outputs, data, monkeypatch, caplog):
    network = heads.network(kind(), 1 if kind is heads.Classify else 2)
    make_rows_safe(network.model, 1, get_chip("katana"))
    network.image_shape = (64, 96)
    monkeypatch.setattr("synet.models.get_model.get_model", lambda *_, **__: network)
    result = quantize_model("best.pt", data.parent, number=3, progress=False)
    assert result.problems == () and result.int8.rows > 0
    assert {port.name for port in TfliteModel(result.content).outputs} == outputs
    found = read_metadata(result.content)
    assert (found["task"], found["names"]) == (task, ["0", "1", "2"])
    assert result.calibration.whole == (task == "classify")
    assert result.calibration.source == f"3 of 4 images of the test split of {data.parent}"
    assert not caplog.records


def test_an_end_to_end_head_says_what_is_exported(data, monkeypatch, caplog):
    network = heads.network(heads.Picked(reg_max=1))
    network.image_shape = (64, 96)
    monkeypatch.setattr("synet.models.get_model.get_model", lambda *_, **__: network)
    quantize_model("best.pt", data, number=3, progress=False)
    (record,) = caplog.records
    assert record.message == (
        "Picked is end-to-end; its one-to-many branch is exported, so the application suppresses "
        "overlapping boxes (NMS)"
    )


def test_a_head_that_is_not_known(data, monkeypatch):
    network = heads.network(heads.Distances())
    network.model[-1].proto = heads.Never()
    network.image_shape = (64, 96)
    monkeypatch.setattr("synet.models.get_model.get_model", lambda *_, **__: network)
    with pytest.raises(SynetError, match="Distances is no head that SyNet can export"):
        quantize_model("best.pt", data, number=3, progress=False)
    assert list(Path().iterdir()) == []


def test_a_checkpoint_has_its_file_beside_it(tiny, data, tmp_path):
    import torch

    weights = tmp_path / "weights" / "best.pt"
    weights.parent.mkdir()
    trained = get_model(tiny)
    trained.names = {0: "thing", 1: "other"}
    options = {"imgsz": 96, "single_cls": True}
    torch.save({"model": trained, "ema": None, "opt": options}, weights)
    result = quantize_checkpoint(weights, data, number=2, progress=False)
    assert result.path == weights.with_name("best.tflite")
    found = read_metadata(result.path)
    assert found["names"] == ["thing", "other"]
    assert (found["trained_by"], found["single_cls"]) == ("yolov5", True)
    assert sorted(p.name for p in weights.parent.iterdir()) == ["best.pt", "best.tflite"]


def test_a_checkpoint_needs_images_or_is_asked_for_random_ones(tiny, data, tmp_path):
    import torch

    weights = tmp_path / "best.pt"
    torch.save({"model": get_model(tiny), "ema": None, "opt": {"imgsz": 96}}, weights)
    weights.with_name("best.tflite").write_bytes(b"\x1c\0\0\0TFL3 good")
    with pytest.raises(SynetError, match="best.pt: a trained model is calibrated on") as caught:
        quantize_model(weights, progress=False)
    assert "--data YAML, or --random for best-random.tflite" in one_line(caught)
    with pytest.raises(SynetError, match="give one of --data .* and --random"):
        quantize_model(weights, data, random=True, progress=False)
    result = quantize_model(weights, random=True, progress=False)
    assert result.path == weights.with_name("best-random.tflite")
    assert float_twin(result.path) == weights
    assert str(result.proof) == "not proven: calibrated on random images"
    assert is_random(read_metadata(result.path))
    assert weights.with_name("best.tflite").read_bytes().endswith(b"good")


def test_what_misses_the_lesser_bar_is_told_and_kept(tiny, data, monkeypatch, caplog):
    monkeypatch.setattr(proof, "FEATURE_BAR", 90.0)
    result = quantize_model(tiny, data, number=2, progress=False)
    (record,) = caplog.records
    assert record.message.startswith("not proven: the features before the head are ")
    assert record.message.endswith("dB, bar 90")
    assert result.problems == () and result.path.is_file()
    assert not read_metadata(result.path)["proof"]["proven"]


def test_a_yaml_that_does_not_say_its_shape(tiny):
    tiny.write_text(tiny.read_text().replace("  image_shape: [64, 96]\n", ""))
    with pytest.raises(SynetError, match="says nothing of its image shape; give --image-shape"):
        quantize_model(tiny)


def misses(monkeypatch, which):
    if which == "int8":
        monkeypatch.setattr(proof, "CONFIDENT", 0.0)
        monkeypatch.setattr(proof, "SCORE_BAR", -1.0)
        return VerificationError, "int8 differs from float by"
    if which == "keras":
        monkeypatch.setattr(module, "KERAS_BAR", -1.0)
        return VerificationError, "Keras differs from torch by"
    smaller = dataclasses.replace(get_chip("katana"), activations_max_bytes=1000)
    monkeypatch.setattr("synet.models.trained.get_chip", lambda name: smaller)
    return ChipError, "of activations alive at once, katana has 1.0 KiB"


@pytest.mark.parametrize("which", ["keras", "int8", "chip"])
def test_a_missed_bar_leaves_no_file(which, tiny, data, monkeypatch):
    kind, said = misses(monkeypatch, which)
    with pytest.raises(kind, match=said) as caught:
        quantize_model(tiny, data, number=2, progress=False)
    assert "no file was written, --force keeps it" in one_line(caught)
    assert caught.value.exit_status == (3 if which == "chip" else 1)
    assert list(Path().iterdir()) == []


def test_memory_is_only_told_of_a_model_that_is_made_for_no_chip(tiny, data, monkeypatch):
    """A fork's own yaml: the file is there to be measured, and the way out is named."""
    misses(monkeypatch, "chip")
    text = tiny.read_text()
    tiny.write_text(text.replace("  chip: katana\n", ""))
    result = quantize_model(tiny, data, (128, 192), number=2, progress=False)
    (problem,) = result.problems
    assert "of activations alive at once, katana has 1.0 KiB" in problem
    assert problem.endswith("(they fit at no multiple of 16 with the aspect of 128x192)")
    assert result.path.read_bytes() == result.content
    limited = dataclasses.replace(get_chip("katana"), ops={})
    monkeypatch.setattr("synet.models.trained.get_chip", lambda name: limited)
    with pytest.raises(ChipError, match="does not run on katana"):
        quantize_model(tiny, data, number=2, progress=False)


def test_a_file_that_misses_bars_is_kept_by_force(tiny, data, monkeypatch):
    said = [misses(monkeypatch, which)[1] for which in ("keras", "int8", "chip")]
    result = quantize_model(tiny, data, number=2, progress=False, force=True)
    for problem, expected in zip(result.problems, said, strict=False):
        assert expected in problem
    told = read_metadata(result.content)["proof"]
    assert not told["proven"] and all(expected in told["missed"] for expected in said[:2])
    assert result.path.read_bytes() == result.content


@pytest.mark.parametrize("content", [b"mine", b"", b"\x1c\0\0\0TFL3mine"])
def test_a_file_that_is_not_ours_is_refused_before_anything_else(content, tiny):
    Path("model.tflite").write_bytes(content)
    with pytest.raises(SynetError, match="model.tflite exists and SyNet did not make it"):
        quantize_model(tiny)
    assert Path("model.tflite").read_bytes() == content


def test_a_folder_in_the_way(tiny):
    with pytest.raises(SynetError, match="is a folder; give the file to write with --out"):
        quantize_model(tiny, out_path=".")


@pytest.mark.parametrize(
    ("model", "said"),
    [("katana-kqvg", "did you mean katana-kqvga"), ("none.pt", "none.pt"), ("x.yaml", "no such")],
)
def test_models_that_are_not_there(model, said):
    with pytest.raises(SynetError, match=said) as caught:
        quantize_model(model)
    one_line(caught)
    assert list(Path().iterdir()) == []


def test_an_unknown_chip(tiny):
    with pytest.raises(ChipError, match="did you mean katana"):
        quantize_model(tiny, chip="katan")


def test_an_unknown_compiler(tiny):
    with pytest.raises(ChipError, match=r"no vela '4\.4' is known for sabre; its file lists 5\.2"):
        quantize_model(tiny, chip="sabre", compiler="4.4")
