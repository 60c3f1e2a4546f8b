"""Every form of image and label: the counts of both YOLOs' own loaders, and what is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import every_form
import numpy as np
import pytest
from every_form import HEIC, LYING, picture

from synet.data.dialects import ULTRALYTICS, YOLOV5
from synet.data.images import read_image
from synet.data.yolo_yaml import Dataset, load_dataset
from synet.evaluation.found import collect
from synet.system.errors import DataError

RED, BLUE = (255, 0, 0), (0, 0, 255)
READS = {
    "ultralytics": ({"dialect": ULTRALYTICS, "task": "detect"}, ("ultralytics", "detect")),
    "with keypoints": (
        {"dialect": ULTRALYTICS, "task": "detect", "keypoint_shape": (2, 3)},
        ("ultralytics", "detect", [2, 3]),
    ),
    "pose": (
        {"dialect": ULTRALYTICS, "task": "pose", "keypoint_shape": (2, 3)},
        ("ultralytics", "pose", [2, 3]),
    ),
    "one class": (
        {"dialect": ULTRALYTICS, "task": "detect", "single_class": True},
        ("ultralytics", "detect", None, True),
    ),
    "yolov5": ({"dialect": YOLOV5, "task": "detect"}, ("yolov5",)),
}
# What yolov5 itself does not read, and forks of it do.
FORKS_ONLY = {"keypoints", "keypoints_repeated", "keypoints_too_few"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return every_form.write(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Data yamls in ``here``, and ultralytics' settings in ``config``."""
    folder = tmp_path_factory.mktemp("home")
    every_form.write_definitions(folder / "here", folder / "sets")
    (folder / "config" / "Ultralytics").mkdir(parents=True)
    settings = folder / "config" / "Ultralytics" / "settings.json"
    settings.write_text(json.dumps({"datasets_dir": str(folder / "sets")}))
    return folder


@pytest.fixture(scope="module")
def theirs(data, home, tmp_path_factory) -> dict[str, dict]:
    for name in ("ultralytics", "yolov5"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    asked = []
    for name, (_, (loader, *options)) in READS.items():
        copy = tmp_path_factory.mktemp("copy") / "set"
        shutil.copytree(data.parent, copy, symlinks=True)
        asked.append([name, loader, str(copy), *options])
    asked.append(["formats", "formats", ""])
    asked.append(["definitions", "definitions", str(home / "here")])
    return every_form.counted_by_yolos(asked, home / "config")


def counted(dataset: Dataset) -> dict[str, int]:
    found = collect(dataset, "val", np.arange(2), lambda *_: nothing(), "", progress=False)
    root = dataset.yaml.parent
    names = [path.relative_to(root).as_posix() for path in found.images]
    return dict(zip(names, map(len, found.labels), strict=True))


def nothing():
    from synet.detections.detections import Detections

    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))


@pytest.mark.parametrize("kind", READS)
def test_images_and_boxes_are_those_of_the_yolos_own_loader(data, theirs, kind):
    before = {path: path.lstat().st_mtime_ns for path in data.parent.rglob("*")}
    ours = counted(replace(load_dataset(data), **READS[kind][0]))
    assert {path: path.lstat().st_mtime_ns for path in data.parent.rglob("*")} == before
    if kind == "yolov5":
        for name in FORKS_ONLY:
            ours.pop(f"images/val/{name}.png", None)
    assert ours == theirs[kind]
    assert len(ours) > (2 if kind == "pose" else 25)


@pytest.mark.parametrize("name", [*every_form.DEFINITIONS, "coco8"])
def test_data_yamls_mean_what_ultralytics_takes_them_for(theirs, home, name, monkeypatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(home / "config"))
    monkeypatch.chdir(home / "here")
    given = f"yamls/{name}" if name in every_form.DEFINITIONS else name
    dataset = load_dataset(given)
    names, places = theirs["definitions"][given]
    assert list(dataset.names) == names
    places = [places] if isinstance(places, str) else places
    assert [str(source) for source in dataset.sources["val"]] == places
    assert [image.name for image in dataset.images("val")] == ["a.png"]


def test_suffixes_are_those_that_the_installed_yolos_list(theirs):
    ours = {
        f"{each.name}/{suffix[1:]}" for each in (ULTRALYTICS, YOLOV5) for suffix in each.suffixes
    }
    assert ours == theirs["formats"].keys()


def test_images_of_other_kinds_are_counted(data):
    others = {"": 1, ".gif": 1, ".ppm": 1}
    assert load_dataset(data).other_images("val") == others
    old = replace(load_dataset(data), dialect=YOLOV5)
    assert old.other_images("val") == others | {".avif": 2, ".heic": 1, ".jp2": 1}


@pytest.mark.parametrize("name", ["lying.jpg", "lying.png", "lying.webp", "lying.avif"])
def test_images_are_turned_upright(tmp_path, name):
    upright(read_image(picture(tmp_path / name, orientation=LYING)))


def test_what_is_in_a_file_counts_and_not_its_name(tmp_path):
    for suffix in ("avif", "jpg", "JPEG", "heic", "png"):
        upright(read_image(picture(tmp_path / f"a.{suffix}", "AVIF", LYING)))


def upright(image: np.ndarray) -> None:
    assert image.shape == (48, 32, 3)
    assert np.abs(image[4, -4].astype(int) - RED).max() < 40
    assert np.abs(image[4, 4].astype(int) - BLUE).max() < 40


def test_how_many_images_want_for_a_package_is_told(data, caplog):
    if find_spec("pi_heif"):
        pytest.skip("pi_heif is installed")
    counted(load_dataset(data))
    (told,) = [text for text in caplog.messages if "pi_heif" in text]
    assert ": val: 1 of 58 images cannot be read: reading HEIC needs pi_heif: pip install" in told


def test_heic_is_read_or_what_reads_it_is_told(tmp_path):
    file = tmp_path / "phone.jpg"
    file.write_bytes(HEIC)
    if find_spec("pi_heif"):
        upright(read_image(file))
        return
    with pytest.raises(DataError, match=r"phone.jpg: reading HEIC needs pi_heif: .*\[images\]"):
        read_image(file)
