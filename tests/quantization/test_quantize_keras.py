"""From a Keras model to int8, on models that are built and converted in seconds."""

from __future__ import annotations

import resource
import zipfile
from functools import cache

import cv2
import numpy as np
import pytest
from noise_images import dataset

from synet.data.calibration import Calibration, calibration_for, filled
from synet.data.images import read_image
from synet.data.yolo_yaml import letterbox, to_channels
from synet.export.tensorflow import import_keras
from synet.quantization import quantize_keras as module
from synet.quantization.quantize_keras import matching_shape, quantize
from synet.system.errors import DataError, ExportError, SynetError
from synet.tflite.graph import read_graph
from synet.tflite.model import TfliteModel, read_metadata

SHAPE = (24, 40)


@cache
def small():
    """A Keras model that a user has made: one image in, two named outputs."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    image = keras.Input((*SHAPE, 1), batch_size=1, name="image")
    x = keras.layers.Conv2D(4, 3, 2, "same", activation="relu6")(image)
    outputs = {
        "boxes": keras.layers.Conv2D(4, 1)(x),
        "scores": keras.layers.Conv2D(2, 1, activation="sigmoid")(x),
    }
    return keras.Model(image, outputs)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the Python call ------------------------------------------------------------------------


def test_an_image_size_is_matched_either_way(data):
    files = {quantize(small(), data, size) for size in ((40, 24), (24, 40), [24, 40], None)}
    assert len(files) == 1
    model = TfliteModel(files.pop())
    assert (model.image_shape, model.channels) == (SHAPE, 1)


def test_an_image_size_that_is_neither(data):
    with pytest.raises(SynetError, match=r"image size 40x40 is not the model's 24x40 \(height"):
        quantize(small(), data, (40, 40))


@pytest.mark.parametrize("size", [(24,), (24, 40, 3), (24.5, 40), (), (0, 0)])
def test_an_image_size_that_is_none(size):
    with pytest.raises(SynetError, match="is not the model's 24x40"):
        matching_shape(size, SHAPE)


def test_int8_in_and_out_and_outputs_by_name(data):
    model = TfliteModel(quantize(small(), data))
    assert model.input.dtype == np.int8
    assert {port.name: port.dtype for port in model.outputs} == {
        "boxes": np.int8,
        "scores": np.int8,
    }
    assert len({port.scale for port in model.outputs}) == 2
    image = next(calibration_for(data, SHAPE, 1, 1, 0).images())
    exact = {k: np.asarray(v) for k, v in small()(image[None]).items()}
    for name, found in model.run(image).items():
        assert np.abs(found - exact[name]).max() < 0.05 * np.ptp(exact[name])


def test_the_same_seed_gives_the_same_bytes(data):
    first = quantize(small(), data, number=3, seed=5)
    assert quantize(small(), data, number=3, seed=5) == first
    assert quantize(small(), data, number=3, seed=6) != first


def test_without_data_it_warns_and_works(caplog):
    content = quantize(small())
    (record,) = [r for r in caplog.records if r.name == "synet"]
    assert record.levelname == "WARNING"
    assert "random images, the file is for inspection only" in record.message
    assert TfliteModel(content).image_shape == SHAPE
    assert read_metadata(content)["calibration"]["source"] == "random images"
    assert quantize(small(), seed=1) != content


def test_random_images_replace_no_file_of_real_ones(data, tmp_path):
    out = tmp_path / "model.tflite"
    quantize(small(), out_path=out)
    good = quantize(small(), data, out_path=out)
    with pytest.raises(SynetError, match="model.tflite was calibrated on images, and") as caught:
        quantize(small(), out_path=out)
    assert "give --data YAML, or another file with --out" in one_line(caught)
    assert out.read_bytes() == good


def test_a_keras_model_is_compared_with_nothing(data):
    for given, why in ((data, "compared with nothing"), (None, "calibrated on random images")):
        told = read_metadata(quantize(small(), given))["proof"]
        assert (told["proven"], told["bar"]) == (False, "none") and why in told["missed"]


def test_metadata(data):
    content = quantize(small(), data, number=3, seed=7, metadata={"names": ["thing"], "colour": 1})
    found = read_metadata(content)
    assert found["image_shape"] == found["imgsz"] == list(SHAPE)
    assert (found["channels"], found["names"], found["colour"]) == (1, ["thing"], 1)
    assert found["producer"].startswith("synet ")
    assert found["proof"]["bar"] == "none"
    assert found["calibration"] == {
        "source": f"3 of 4 images of the test split of {data}",
        "images": 3,
        "seed": 7,
    }


def test_zip_tools_open_the_file(data, tmp_path):
    path = tmp_path / "deep" / "er" / "small.tflite"
    content = quantize(small(), data, out_path=path)
    assert path.read_bytes() == content
    assert zipfile.ZipFile(path).namelist() == ["metadata.json"]
    assert [p.name for p in path.parent.iterdir()] == ["small.tflite"]


def test_nothing_is_printed(data, capfd):
    quantize(small(), data, progress=False)
    assert capfd.readouterr() == ("", "")


# --- calibration ----------------------------------------------------------------------------


def test_images_are_those_of_validation(data):
    files = sorted((data.parent / "test" / "images").iterdir())
    calibration = Calibration(tuple(files), SHAPE, 1, "", 0)
    images = list(calibration.images())
    assert len(images) == len(calibration) == 4
    for file, image in zip(files, images, strict=True):
        expected = to_channels(letterbox(read_image(file), SHAPE)[0], 1)
        assert image.dtype == np.float32 and image.shape == (*SHAPE, 1)
        np.testing.assert_array_equal(np.rint(image * 255).astype(np.uint8), expected)


def test_the_test_split_comes_first_then_val(tmp_path):
    def source(**splits):
        path = dataset(tmp_path / "-".join(splits), **splits)
        return calibration_for(path, SHAPE, 1, 500, 0).source

    assert "4 of 4 images of the test split" in source(val=6, test=4)
    assert "6 of 6 images of the val split" in source(val=6)


def test_a_folder_of_images_is_data(data):
    def source(folder):
        return calibration_for(folder, SHAPE, 1, 500, 0).source

    assert "4 of 4 images of the test split" in source(data.parent)
    assert "6 of 6 images of the val split" in source(data.parent / "val")
    (data.parent / "none").mkdir()
    with pytest.raises(DataError, match="none: val: no images in"):
        source(data.parent / "none")


@pytest.mark.parametrize("shape", [(20, 20), (40, 40), (20, 40), (30, 20)], ids=str)
def test_a_classifier_sees_images_without_borders(shape):
    """The middle for a square, all of it for a rectangle: grey levels tell the column."""
    image = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 30, 0).repeat(3, 2)
    seen = filled(image, shape)
    assert seen.shape == (*shape, 3)
    expected = [5, 34] if shape[0] == shape[1] else [0, 39]
    np.testing.assert_allclose(seen[0, [0, -1], 0].astype(int), expected, atol=1)


def test_the_choice_is_seeded_and_has_no_image_twice(data):
    def chosen(number, seed):
        return calibration_for(data, SHAPE, 1, number, seed).files

    assert chosen(3, 1) == chosen(3, 1)
    assert len(set(chosen(3, 1))) == 3
    assert len({chosen(4, seed) for seed in range(8)}) > 1
    assert set(chosen(500, 0)) == set((data.parent / "test" / "images").iterdir())


def redrawn(data, change):
    """The same data set with other calibration images: what `change` makes of each, by number."""
    for number, file in enumerate(sorted((data.parent / "test" / "images").iterdir())):
        cv2.imwrite(str(file), change(cv2.imread(str(file)), number))
    return data


SAME = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image, number: image * 0, "nothing but one colour"),
        (lambda image, number: image * 0 + 255, "nothing but one colour"),
        (lambda image, number: image * 0 + 60 * number, "nothing but one colour"),
        (lambda image, number: SAME, "all the same picture"),
    ],
    ids=["black", "white", "a colour each", "alike"],
)
def test_images_that_say_nothing(change, said, data, tmp_path):
    redrawn(data, change)
    with pytest.raises(DataError) as caught:
        quantize(small(), data, out_path=tmp_path / "out" / "model.tflite")
    assert one_line(caught) == (
        f"4 of 4 images of the test split of {data}: {said}, so no int8 range can be read off "
        f"them; give images as the camera takes them with --data"
    )
    assert not (tmp_path / "out").exists()


def test_one_image_and_some_black_ones_will_do(data):
    redrawn(data, lambda image, number: image if number == 2 else image * 0)
    assert len(calibration_for(data, SHAPE, 1, 500, 0)) == 4
    (data.parent / "test" / "images" / "2.png").rename(data.parent / "one.png")
    assert len(calibration_for(redrawn(data, lambda *_: SAME), SHAPE, 1, 1, 0)) == 1


def test_dark_images_cut_nothing_off(data, caplog):
    """All tensors of the file reach as far as with the bright images that they were made of."""

    def scales():
        content = quantize(small(), data, progress=False)
        return [tensor.scale for tensor in read_graph(content).tensors if tensor.scale]

    bright = scales()
    assert not caplog.records
    redrawn(data, lambda image, _: np.rint(image * 0.3).astype(np.uint8))
    np.testing.assert_allclose(np.concatenate(scales()), np.concatenate(bright), rtol=0.05)
    (record,) = caplog.records
    assert f"the test split of {data}: dark, next to no pixel is above 7" in record.message


def test_a_network_that_looks_at_images_sees_them_once(data):
    """Brighter copies are for the ranges alone."""
    redrawn(data, lambda image, _: image // 4)
    calibration = calibration_for(data, SHAPE, 1, 500, 0, whole=True)
    assert len(list(calibration.images())) == 4
    exposures = list(calibration.exposures())
    assert len(exposures) == 8
    assert max(x.max() for x in exposures[:4]) < 0.27 and max(x.max() for x in exposures) > 0.95


def test_a_model_of_pixels_of_0_to_255(data):
    keras = import_keras()
    image = keras.Input((*SHAPE, 1), batch_size=1)
    scaled = keras.layers.Rescaling(1 / 255, name="to_unit")(image)
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(scaled))
    with pytest.raises(SynetError, match="layer to_unit scales pixels of 0 to 255: give") as caught:
        quantize(model, data)
    one_line(caught)
    centred = keras.layers.Rescaling(2.0, -1.0)(image)
    model = TfliteModel(quantize(keras.Model(image, keras.layers.Conv2D(2, 3)(centred)), data))
    assert (model.input.scale, model.input.zero_point) == (np.float32(1 / 255), -128)


@pytest.mark.parametrize("number", [0, -1])
def test_no_images_at_all(number, data):
    with pytest.raises(SynetError, match=f"calibration images: {number} is not at least 1"):
        quantize(small(), data, number=number)


def broken(folder, name):
    path = dataset(folder, val=2)
    if name == "none":
        return folder / "none.yaml"
    if name == "nameless":
        path.write_text("train: val/images\nval: val/images\n")
    if name == "empty":
        for image in (folder / "val/images").iterdir():
            image.unlink()
    if name == "folderless":
        path.write_text("names: [a]\ntrain: val/images\nval: nowhere\n")
    if name == "unreadable":
        for image in (folder / "val/images").iterdir():
            image.write_bytes(b"no image")
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "none.yaml"),
        ("nameless", "names"),
        ("empty", "val"),
        ("folderless", "nowhere"),
        ("unreadable", ".png"),
    ],
)
def test_data_that_cannot_be_used(name, said, tmp_path):
    out = tmp_path / "out" / "model.tflite"
    with pytest.raises(DataError) as caught:
        quantize(small(), broken(tmp_path / "data", name), out_path=out)
    assert said in one_line(caught)
    assert not out.parent.exists()


def test_what_the_converter_cannot_convert():
    keras = import_keras()
    image = keras.Input((*SHAPE, 1), batch_size=1)
    sorted_pixels = keras.layers.Lambda(lambda x: keras.ops.fft2((x, x)))(image)
    with pytest.raises(ExportError, match="TFLite conversion failed: ") as caught:
        quantize(keras.Model(image, sorted_pixels))
    one_line(caught)


# --- a disk that is full ----------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """No file grows beyond 4 KiB while the result is being written."""
    write = module.write_atomic

    def limited(path, content):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            return write(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(module, "write_atomic", limited)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(data, full_disk, tmp_path):
    out = tmp_path / "out" / "model.tflite"
    with pytest.raises(SynetError, match="cannot write .*model.tflite: File too large") as caught:
        quantize(small(), data, metadata={"padding": "-" * 5000}, out_path=out)
    one_line(caught)
    assert list(out.parent.iterdir()) == []
    before = quantize(small(), data)
    out.write_bytes(before)
    with pytest.raises(SynetError, match="cannot write"):
        quantize(small(), data, metadata={"padding": "-" * 5000}, out_path=out)
    assert out.read_bytes() == before
    assert [p.name for p in out.parent.iterdir()] == ["model.tflite"]


def test_a_file_of_somebody_else_is_not_replaced(data, tmp_path):
    out = tmp_path / "model.tflite"
    out.write_bytes(b"theirs")
    with pytest.raises(SynetError, match="model.tflite exists and SyNet did not make it"):
        quantize(small(), data, out_path=out)
    assert out.read_bytes() == b"theirs"


def test_a_folder_that_cannot_be_written(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SynetError, match="cannot write "):
        quantize(small(), data, out_path=tmp_path / "file" / "model.tflite")
