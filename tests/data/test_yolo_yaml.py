"""Data yamls in every form that YOLO accepts, the labels beside the images, and what is refused."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from synet.data.yolo_yaml import (
    label_path,
    load_dataset,
    read_data_yaml,
    read_labels,
    resolved_definition,
    resolved_yaml,
)
from synet.system.errors import DataError


def make_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes())
    return path


def write_yaml(file: Path, /, **content) -> Path:
    file.write_text(yaml.safe_dump({"names": ["a", "b"], **content}))
    return file


def label(folder: Path, text: str | bytes) -> Path:
    """An image whose label file has this text."""
    image = make_image(folder / "images" / "a.png")
    (folder / "labels").mkdir(exist_ok=True)
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "labels" / "a.txt").write_bytes(content)
    return image


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four images in nested folders, and what a folder also holds in real life."""
    for name in ("val/b.png", "val/deep/a.JPG", "extra/c.png", "train/d.png"):
        make_image(tmp_path / "images" / name)
    for clutter in ("val/._b.png", "val/.DS_Store", "val/notes.txt", "val/labels.cache"):
        (tmp_path / "images" / clutter).write_bytes(b"clutter")
    return tmp_path


def names_of(dataset, split: str) -> list[str]:
    return [image.name for image in dataset.images(split)]


@pytest.mark.parametrize("path", ["absolute", ".", None])
def test_folder_is_searched_to_any_depth_in_sorted_order(tree, path):
    keys = {} if path is None else {"path": str(tree) if path == "absolute" else path}
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="images/val", **keys))
    assert names_of(dataset, "val") == ["b.png", "a.JPG"]
    assert all(image.is_absolute() for image in dataset.images("val"))


def test_list_of_folders_holds_each_image_once(tree):
    folders = ["images/val", "images/extra", "images/val/deep"]
    dataset = load_dataset(write_yaml(tree / "data.yaml", val=folders))
    assert names_of(dataset, "val") == ["c.png", "b.png", "a.JPG"]


def test_text_list_with_relative_absolute_and_blank_lines(tree):
    lines = ["./images/val/b.png", "", str(tree / "images/train/d.png"), "images/extra/c.png "]
    (tree / "lists").mkdir()
    (tree / "val.txt").write_bytes("\r\n".join(lines).encode())
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="val.txt"))
    assert names_of(dataset, "val") == ["c.png", "d.png", "b.png"]
    assert all(image.is_file() for image in dataset.images("val"))


def test_text_list_may_be_relative_to_the_working_directory(tree, monkeypatch):
    (tree / "lists").mkdir()
    (tree / "lists" / "val.txt").write_text("images/val/b.png\n")
    monkeypatch.chdir(tree)
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="lists/val.txt"))
    assert dataset.images("val") == (tree / "images/val/b.png",)


def test_path_relative_to_the_working_directory(tree, tmp_path_factory, monkeypatch):
    elsewhere = write_yaml(
        tmp_path_factory.mktemp("yamls") / "data.yaml", path=tree.name, val="images/val"
    )
    monkeypatch.chdir(tree.parent)
    assert names_of(load_dataset(elsewhere), "val") == ["b.png", "a.JPG"]


def test_roboflow_writes_one_folder_too_high(tree):
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="../images/extra"))
    assert names_of(dataset, "val") == ["c.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_linked_folders_are_followed_and_keep_their_name(tree):
    (tree / "store").mkdir()
    (tree / "images" / "extra").rename(tree / "store" / "images_of_may")
    (tree / "images" / "extra").symlink_to(tree / "store" / "images_of_may")
    image = load_dataset(write_yaml(tree / "data.yaml", val="images/extra")).images("val")[0]
    assert label_path(image) == tree / "labels/extra/c.txt"


@pytest.mark.parametrize(
    "text",
    [
        "names: [a, 3]",
        "names: {1: 3, 0: a}",
        "names: {'1': 3, '0': a}",
        "names: [a, 3]\nnc: '2'",
        "names: [a, 3]\nnc: 2.0",
        "nc: 2\r\nnames:\r\n  0: a\r\n  1: 3\r\n",
    ],
)
def test_names_as_list_or_map(tmp_path, text):
    path = tmp_path / "data.yaml"
    path.write_bytes(text.encode())
    assert load_dataset(path).names == ("a", "3")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: [a\nval: x", "data.yaml:2: not a yaml file"),
        ("[a, b]", "expected keys such as train, val and names"),
        ("", "expected keys"),
        ("val: images", "no 'names'; add the class names"),
        ("names: {0: a, 2: c}", "found 0, 2"),
        ("names: {0: a, '0': b}", "expected each of the ids 0 to 1 once, found 0, '0'"),
        ("names: {a: 0}", "expected each of the ids 0 to 0 once, found 'a'"),
        ("nc: 2.5", "nc: expected the number of classes, found 2.5"),
        ("nc: many", "nc: expected the number of classes, found 'many'"),
        ("nc: 1e12", "nc: expected the number of classes, found '1e12'"),
        ("names: []", "names: expected a list"),
        ("names: cat", "names: expected a list or a map from id to name, found 'cat'"),
        ("names: [a]\nnc: 2", "nc is 2, but names has 1"),
        ("names: [a]\nval: 3", "val: expected a path"),
        ("names: [a]\nval: [{x: y}]", "val: expected a path"),
        ("names: [a]\npath: 3", "path: expected a folder"),
        (
            "names: [a]\nkpt_shape: 17",
            "kpt_shape: expected [number of keypoints, 2 or 3], found 17",
        ),
        ("names: [a]\nkpt_shape: [17, 4]", "found [17, 4]"),
        ("names: [a]\nkpt_shape: [0, 3]", "found [0, 3]"),
        ("names: [\xe9]".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_malformed_yaml_is_one_clear_line(tmp_path, text, told):
    path = tmp_path / "data.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_yaml(tmp_path):
    with pytest.raises(DataError, match="no.yaml: cannot read the data yaml: No such file"):
        load_dataset(tmp_path / "no.yaml")


def test_a_missing_split_is_an_error_only_when_asked_for(tree):
    (tree / "empty").mkdir()
    (tree / "empty.txt").write_text("\n")
    (tree / "a.zip").write_bytes(b"PK\x03\x04\xff")
    dataset = load_dataset(
        write_yaml(tree / "data.yaml", train="images/train", val="gone", test="empty")
    )
    assert names_of(dataset, "train") == ["d.png"]
    with pytest.raises(DataError, match="val: .*gone does not exist"):
        dataset.images("val")
    with pytest.raises(DataError, match="test: no images in .*empty"):
        dataset.images("test")
    with pytest.raises(DataError, match="no split 'valid'; it has train, val, test"):
        dataset.images("valid")
    other = load_dataset(write_yaml(tree / "other.yaml", val="empty.txt", test="a.zip"))
    with pytest.raises(DataError, match="val: no images"):
        other.images("val")
    with pytest.raises(DataError, match="a.zip: a split is a folder or a list of images"):
        other.images("test")


@pytest.mark.parametrize(
    ("test", "expected"),
    [("images/extra", "test"), ("empty", "val"), ("gone", "val"), (None, "val"), ("", "val")],
)
def test_calibration_takes_test_where_it_has_images(tree, test, expected):
    (tree / "empty").mkdir()
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="images/val", test=test))
    assert dataset.calibration_split() == expected


def test_calibration_without_images(tree):
    with pytest.raises(DataError, match="no split 'val'; it has train"):
        load_dataset(write_yaml(tree / "data.yaml", train="images/train")).calibration_split()


def test_resolved_yaml_means_the_same_from_anywhere(tree, tmp_path_factory):
    source = write_yaml(
        tree / "data.yaml",
        path=".",
        val="images/val",
        test=["images/extra", "images/train"],
        names={0: "a", 1: "b"},
        kpt_shape=[17, 3],
    )
    copy = resolved_yaml(source, tmp_path_factory.mktemp("copy") / "new" / "copy.yaml")
    content = yaml.safe_load(copy.read_text())
    assert content == {
        "val": str(tree / "images/val"),
        "test": [str(tree / "images/extra"), str(tree / "images/train")],
        "names": ["a", "b"],
        "nc": 2,
        "kpt_shape": [17, 3],
    }
    for split in ("val", "test"):
        assert load_dataset(copy).images(split) == load_dataset(source).images(split)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("/d/images/val/a.b.jpg", "/d/labels/val/a.b.txt"),
        ("/images/d/images/a.jpg", "/images/d/labels/a.txt"),  # the last folder of that name
        ("/d/photos/a.jpg", "/d/photos/a.txt"),
        ("/d/images.jpg", "/d/images.txt"),
    ],
)
def test_label_path(image, expected):
    assert label_path(image) == Path(expected)


def test_labels_boxes_polygons_and_repeats(tmp_path):
    text = (
        "\ufeff0 0.5 0.5 0.2 0.4\r\n\r\n1.0 0 0 1 1\r\n0 0.5 0.5 0.2 0.4\r\n"
        "1 0.1 0.2 0.5 0.2 0.3 0.6\r\n0 0.5 0.5 1.0000000001 1\r\n"
    )
    labels = read_labels(label(tmp_path, text), classes=2)
    assert labels.dtype == np.float32
    expected = [
        [0, 0.5, 0.5, 0.2, 0.4],
        [1, 0, 0, 1, 1],
        [1, 0.3, 0.4, 0.4, 0.4],
        [0, 0.5, 0.5, 1, 1],
    ]
    np.testing.assert_allclose(labels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        ((2, 3), "0.1 0.2 2 0 0 0"),
        ((3, 2), "0.1 0.2 0 0 0.9 0.9"),
        (None, "0.1 0.2 2 0 0 0"),  # forks whose yaml says nothing of keypoints
        (None, "0.1 0.2 1"),
    ],
)
def test_the_box_of_a_label_with_keypoints(tmp_path, shape, points):
    image = label(tmp_path, f"1 0.5 0.5 0.2 0.4 {points}\n")
    np.testing.assert_allclose(read_labels(image, 2, shape), [[1, 0.5, 0.5, 0.2, 0.4]], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "points", "told"),
    [
        ((2, 3), "0.1 0.2 2", "8 numbers; a line is 'class x y width height' and 2 keypoints of 3"),
        ((2, 3), "0.1 0.2 3 0 0 0", "3 is not how well a keypoint is seen"),
        ((2, 3), "0.1 1.2 2 0 0 0", "1.2 is outside 0-1"),
        ((3, 2), "0.1 0.2 0 0 0.9 2", "2 is outside 0-1"),
        (None, "0.1 1.2 2", "1.2 is outside 0-1"),
        (None, "0.1 0.2 0.5", "8 numbers"),
    ],
)
def test_broken_keypoints(tmp_path, shape, points, told):
    with pytest.raises(DataError) as caught:
        read_labels(label(tmp_path, f"1 0.5 0.5 0.2 0.4 {points}\n"), 2, shape)
    assert told in str(caught.value)


def test_keypoints_are_read_from_the_yaml(tree):
    assert load_dataset(write_yaml(tree / "a.yaml", kpt_shape=[17, 3])).keypoint_shape == (17, 3)
    assert load_dataset(write_yaml(tree / "b.yaml")).keypoint_shape is None


def test_a_definition_says_what_is_written_and_looks_for_nothing(tmp_path):
    path = write_yaml(
        tmp_path / "data.yaml", path="there", train="x", val=["y", "z"], merge={"a": 1}
    )
    definition = read_data_yaml(path)
    assert definition.root == tmp_path / "there"
    assert definition.entries == {"train": ("x",), "val": ("y", "z")}
    assert definition.names == ("a", "b")
    assert definition.content["merge"] == {"a": 1}


def test_a_name_with_a_zero_byte(tmp_path):
    path = write_yaml(tmp_path / "data.yaml", train="x", val=["y", "z\0"])
    with pytest.raises(DataError, match=r"data\.yaml: val: no file has a name with a zero byte"):
        read_data_yaml(path)


def test_the_folders_of_all_images(tree):
    (tree / "val.txt").write_text("images/val/b.png\nimages/val/deep/a.JPG\n")
    (tree / "a.zip").write_bytes(b"")
    dataset = load_dataset(
        write_yaml(tree / "data.yaml", train=["images/train", "gone"], val="val.txt", test="a.zip")
    )
    below = {os.path.relpath(folder, tree) for folder in dataset.image_folders()}
    assert below == {"images/train", "images/val", "images/val/deep"}


def test_background(tmp_path):
    assert read_labels(label(tmp_path, "\n"), 2).shape == (0, 5)
    assert read_labels(make_image(tmp_path / "other" / "images" / "b.png"), 2).shape == (0, 5)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 a b c d", "'0 a b c d' is not made of numbers"),
        ("0 \x1b[2J", r"'0 \x1b[2J' is not made of numbers"),
        ("0", "1 numbers"),
        ("0 0.5 0.5 0.1", "4 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "6 numbers"),
        ("0 0.1 0.2 0.5 0.2 0.3 0.6 0.7", "8 numbers"),
        ("2 0.5 0.5 0.1 0.1", "class 2 is not one of 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is not one of 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5 is not one of 0 to 1"),
        ("nan 0.5 0.5 0.1 0.1", "class nan"),
        ("0 0.5 -0.5 0.1 0.1", "-0.5 is outside 0-1"),
        ("0 320 240 100 50", "320 is outside 0-1"),
        ("0 0.5 0.5 nan 0.1", "nan is outside 0-1"),
    ],
)
def test_broken_label_line_is_told_by_file_and_line(tmp_path, line, told):
    image = label(tmp_path, f"0 0.5 0.5 0.1 0.1\n\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_labels(image, classes=2)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'labels' / 'a.txt'}:3: ")
    assert told in message
    assert "'class x y width height'" in message


def test_label_file_that_is_no_text(tmp_path):
    with pytest.raises(DataError, match="a.txt: cannot read the labels: not UTF-8 text"):
        read_labels(label(tmp_path, b"\xff\xfe\x00"), 2)


def test_blood_cells(shared):
    dataset = load_dataset(shared / "data" / "bccd" / "bccd.yaml")
    assert dataset.names == ("RBC", "WBC", "Platelets")
    counts = {split: len(dataset.images(split)) for split in dataset.sources}
    assert counts == {"train": 205, "val": 87, "test": 72}
    assert dataset.calibration_split() == "test"
    labels = [read_labels(image, len(dataset.names)) for image in dataset.images("val")]
    assert all(len(each) for each in labels)


def test_where_the_images_of_a_stock_yaml_belong_is_told(tmp_path, monkeypatch):
    if find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    settings = tmp_path / "Ultralytics" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"datasets_dir": "%s"}' % (tmp_path / "sets"))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("coco8")
    assert len(dataset.names) == 80
    with pytest.raises(DataError, match=f"{tmp_path}/sets/coco8/images/val does not exist"):
        dataset.images("val")


@pytest.mark.parametrize("settings", ["", "no json", "[1]", '{"datasets_dir": 3}'])
def test_settings_and_homes_that_cannot_be_used_are_no_error(tree, monkeypatch, settings):
    (tree / "config" / "Ultralytics").mkdir(parents=True)
    (tree / "config" / "Ultralytics" / "settings.json").write_text(settings)
    monkeypatch.setenv("HOME", "/nowhere\x7f/at/all")
    for folder in (str(tree / "config"), "/dev/null", "~nobody-of-this-name"):
        monkeypatch.setenv("YOLO_CONFIG_DIR", folder)
        dataset = load_dataset(write_yaml(tree / "data.yaml", path="images", val="val"))
        assert names_of(dataset, "val") == ["b.png", "a.JPG"]


def test_a_folder_stands_for_the_yaml_in_it(tree):
    write_yaml(tree / "my.yml", val="images/val")
    assert load_dataset(tree).yaml == tree / "my.yml"
    write_yaml(tree / f"{tree.name}.yaml", val="images/extra")  # before .yml
    assert names_of(load_dataset(tree), "val") == ["c.png"]
    write_yaml(tree / "another.yaml", val="images/train")
    assert names_of(load_dataset(tree), "val") == ["c.png"]


def test_hidden_folders_are_not_looked_into(tree):
    make_image(tree / "images" / "val" / ".thumbnails" / "b.png")
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="images/val"))
    assert names_of(dataset, "val") == ["b.png", "a.JPG"]


def test_images_of_kinds_that_no_yolo_takes_are_counted(tree):
    for name in ("a.gif", "b.GIF", "c.ppm", "deep/d.svg"):
        (tree / "images" / "val" / name).write_bytes(b"")
    make_image(tree / "images" / "val" / "e")  # by what is in it
    make_image(tree / "images" / "val" / "labels.txt")
    dataset = load_dataset(write_yaml(tree / "data.yaml", val="images/val"))
    assert dataset.other_images("val") == {".gif": 2, ".ppm": 1, ".svg": 1, "": 1}


def test_a_data_set_is_resolved_with_what_other_yolos_call_its_split(tree):
    source = write_yaml(tree / "data.yaml", validation="images/val", names={"1": "b", "0": "a"})
    content = resolved_definition(source)
    expected = {"names": ["a", "b"], "nc": 2, "val": str(tree / "images/val")}
    assert content == expected
