"""From a checkpoint, or a float file, to the errors of the layers by their names in the network."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import cv2
import int8_models
import int8_pairs
import numpy as np
import pytest
import tiny_ultralytics as tiny
from click.testing import CliRunner
from patched import patched_fork

from synet.cli import main
from synet.custom_patches import unpatch
from synet.data.calibration import Calibration
from synet.export.convert import to_keras
from synet.export.tensorflow import to_float, to_int8
from synet.inspection.compare import compare_layers, dump_int8
from synet.models.locate import installed
from synet.system.errors import DataError, SynetError

ODD = (61, 99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images and a text in a folder with an odd name."""
    folder = tmp_path_factory.mktemp("zwei bilder é")
    random = np.random.default_rng(3)
    for name in ("one.png", "two.jpg"):
        cv2.imwrite(str(folder / name), random.integers(0, 256, (50, 80, 3), np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A float file, and the int8 one that is made of it."""
    folder = tmp_path_factory.mktemp("pair")
    for name, content in zip(("float", "int8"), int8_pairs.pair(), strict=True):
        (folder / f"{name}.tflite").write_bytes(content)
    return folder / "float.tflite", folder / "int8.tflite"


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """A checkpoint of ultralytics, and an int8 file of it, by task and image shape."""
    patched_fork(installed("ultralytics"), "sabre")
    images = sorted(folder.glob("*.[jp]*g"))

    def make(task, shape):
        network = tiny.network(task)
        path = tiny.save(network, tmp_path_factory.mktemp(task) / "best.pt")
        calibration = Calibration(tuple(images), shape, 3, "", 0, task == "classify")
        keras_model = to_keras(network, shape, 3)
        return path, to_int8(to_float(keras_model), calibration.images)

    yield make
    unpatch()


@pytest.mark.parametrize(
    ("task", "shape"),
    [("pose", ODD), ("segment", tiny.SHAPE), ("obb", ODD), ("classify", ODD)],
)
def test_a_checkpoint(task, shape, made, folder):
    path, content = made(task, shape)
    found = compare_layers(path, content, [folder], progress=False)
    names = [error.layer for error in found.layers]
    padded = {f"{name}.pad" for name in names} & {*names}  # where an even side is halved
    names = [name for name in names if name not in padded]
    assert names[:3] == ["input", "model.0.conv", "model.1.conv"]
    assert found.layers[0].shape == (1, *shape, 3)
    if task != "classify":
        assert {"model.4.cv2.0.0.conv", "model.4.cv3.1.2"} <= {*names}
        assert "scores" in found.outputs
    assert found.images == (folder / "one.png", folder / "two.jpg")
    assert all(error.lost_db > 20 for error in found.layers if not error.is_faint)
    assert min(each.sqnr_db for each in found.outputs.values()) > 20


def test_a_checkpoint_of_another_training(made, folder):
    path, _ = made("classify", tiny.SHAPE)
    _, content = int8_pairs.pair()
    with pytest.raises(SynetError) as caught:
        compare_layers(path, content, [folder], progress=False)
    assert f"the TFLite model was not made from {path}: " in str(caught.value)


def test_a_network_of_another_number_of_channels(made, folder):
    path, _ = made("classify", tiny.SHAPE)
    with pytest.raises(SynetError, match="takes images of 1 channels, and the float model of 3"):
        compare_layers(path, int8_models.good(), [folder], progress=False)


def synet(*args):
    return CliRunner().invoke(main, ["compare", *map(str, args)])


def test_the_command(files, folder, tmp_path):
    result = synet(*files, folder, "--dump", tmp_path / "layers", "--out", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-3].startswith("5 layers on 2 images: outputs rows ")
    assert "most is lost in model.1.conv (CONV_2D, number 2): " in lines[-3]
    assert lines[-2:] == [
        f"wrote every layer's output to {tmp_path / 'layers'}",
        f"wrote {tmp_path / 't.csv'}",
    ]
    assert sorted(os.listdir(tmp_path)) == ["layers", "t.csv"]
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["layer"] for row in rows][0] == "model.1.conv"
    assert len(rows) == 5
    first = np.load(tmp_path / "layers" / "int8" / "001-model.0.conv.npy", allow_pickle=False)
    assert first.shape[0] == 2


def test_a_table_as_json(files, folder, tmp_path):
    found = compare_layers(*files, [folder], progress=False, out=tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text("utf-8")) == found.records()


def test_all_layers_or_the_worst(folder, files, monkeypatch):
    monkeypatch.setattr("synet.commands.compare.SHOWN", 1)
    worst, all_of_them = synet(*files, folder), synet(*files, folder, "--all")
    assert "4 more layers" in worst.stdout and "model.2.conv" not in worst.stdout
    assert "more layers" not in all_of_them.stdout and "model.2.conv" in all_of_them.stdout


def test_an_int8_file_alone(files, folder, tmp_path):
    result = synet(files[1], folder / "one.png", "--dump", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote every layer's output to {tmp_path / 'out'}\n"
    assert sorted(os.listdir(tmp_path / "out")) == ["int8", "layers.json"]


def test_the_vendors_file_is_dumped(shared, folder, tmp_path):
    model = shared / "models" / "person_detection_480x640.tflite"
    dump_int8(model, [folder / "one.png"], tmp_path / "out", progress=False)
    told = json.loads((tmp_path / "out" / "layers.json").read_text("utf-8"))
    for layer in told["layers"][:40]:
        values = np.load(tmp_path / "out" / layer["int8"], allow_pickle=False)
        assert list(values.shape) == layer["shape"] and values.dtype == np.int8
        assert layer["scale"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{float}", "{int8}"], "give at least one image behind the models"),
        (["{int8}", "{image}"], "int8.tflite: compared with what? Give the float model before it"),
        (["{image}", "{int8}"], "one.png: expected a model, .pt or .tflite, and images behind it"),
        (["{int8}", "{float}", "{image}"], "float.tflite is not an int8 file; give the one that"),
        (["{int8}", "{int8}", "{image}"], "int8.tflite is an int8 file; the float model comes fir"),
        (["none.pt", "{int8}", "{image}"], "none.pt: No such file"),
        (["{float}", "none.tflite", "{image}"], "cannot read none.tflite: No such file"),
        (["{float}", "{int8}", "none.png"], "none.png: no such image"),
        (["{float}", "{int8}", "{folder}/notes.txt"], "notes.txt: not an image, or a damaged one"),
        (["{float}", "{int8}", "{clip}"], "clip.avi: layers are compared on images, not on video"),
        (["{float}", "{int8}", "{image}", "--out", "t.txt"], "t.txt: a table is written as .csv"),
        (["{float}", "{int8}", "{image}", "--out", "{image}.csv"], "one.png.csv exists; name anot"),
        (["{float}", "{int8}", "{image}", "--dump", "{folder}"], "exists and is no empty folder"),
        (["{other}", "{int8}", "{image}"], "int8.tflite was not made from "),
    ],
)
def test_mistakes_are_one_line(arguments, said, files, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"float": files[0], "int8": files[1], "image": folder / "one.png", "folder": folder}
    places |= {"other": tmp_path / "other.tflite", "clip": tmp_path / "clip.avi"}
    places["other"].write_bytes(int8_pairs.pair(loud=False)[0])
    clip = cv2.VideoWriter(str(places["clip"]), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    clip.write(np.zeros((48, 64, 3), np.uint8))
    clip.release()
    theirs = Path(f"{places['image']}.csv")
    theirs.write_text("theirs")
    result = synet(*(argument.format(**places) for argument in arguments))
    theirs.unlink()
    assert result.exit_code == 2, result.output
    message = result.stderr.strip()
    assert message.startswith("synet: ") and said in message
    assert "\n" not in message and not result.stdout
    assert sorted(os.listdir(tmp_path)) == ["clip.avi", "other.tflite"]


@pytest.mark.parametrize("reference", ["katana-kqvga", "best.onnx"])
def test_a_float_model_of_another_kind(reference, files, folder):
    with pytest.raises(SynetError, match=f"{reference}: expected a .pt checkpoint, or a float"):
        compare_layers(reference, files[1], [folder])


def test_no_images(files):
    with pytest.raises(DataError, match="give an image, or a folder of images"):
        compare_layers(*files, [])
