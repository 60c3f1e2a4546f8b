from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synet import zoo
from synet.patches.command_line import chip_of, completed, readable_copy

KQVGA = zoo.find_model_path("katana-kqvga")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--cfg", "katana-kqvga.yaml"], ["--cfg", KQVGA]),
        (["--cfg=katana-kqvga"], [f"--cfg={KQVGA}"]),
    ],
)
def test_a_zoo_name_becomes_a_file_with_its_size_and_without_weights(typed, expected):
    rest = ["--data", "my.yaml"]
    assert completed([*rest, *typed]) == [*rest, *expected, "--img", "240,320", "--weights", ""]


@pytest.mark.parametrize(
    "given",
    [
        ["--img", "96"],
        ["--imgsz=96"],
        ["--img-size", "96"],
    ],
)
def test_a_size_that_was_typed_stays(given):
    arguments = completed([*given, "--cfg", "katana-kqvga"])
    assert arguments == [*given, "--cfg", KQVGA, "--weights", ""]


@pytest.mark.parametrize("given", [["--weights", "mine.pt"], ["--resume"], ["--evolve=3"]])
def test_weights_that_were_chosen_stay(given):
    arguments = completed(["--cfg", "katana-kqvga", "--img", "96", *given])
    assert arguments == ["--cfg", KQVGA, "--img", "96", *given]


def test_a_users_file_of_a_zoo_models_name_comes_first(empty_folder):
    (empty_folder / "katana-kqvga.yaml").write_text("nc: 1\n")
    assert completed(["--cfg", "katana-kqvga.yaml"]) == ["--cfg", "katana-kqvga.yaml"]


def test_the_size_of_a_users_own_yaml_is_height_and_width(empty_folder):
    (empty_folder / "tall.yaml").write_text("synet: {image_shape: [640, 480]}\n")
    arguments = completed(["--cfg", "tall.yaml"])
    assert arguments == ["--cfg", "tall.yaml", "--img", "640,480", "--weights", ""]


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["--cfg"],
        ["--cfg", ""],
        ["--cfg", "yolov5n.yaml"],
        ["--cfg", "models/nowhere.yaml", "--epochs", "3"],
        ["--project", "katana-kqvga"],
        ["model=yolov5n.yaml"],
    ],
)
def test_anything_else_stays_as_it_was_typed(typed):
    assert completed(typed) == typed


def test_the_list_that_was_given_is_not_changed():
    typed = ["--cfg", "katana-kqvga"]
    completed(typed)
    assert typed == ["--cfg", "katana-kqvga"]


@pytest.mark.parametrize(
    "typed",
    [["--conf", "katana-kqvga.yaml"], ["model=katana-kqvga.yaml"], ["katana-kqvga.yaml", "d.yaml"]],
)
def test_a_zoo_model_is_found_however_a_script_asks_for_it(typed):
    path = zoo.find_model_path("katana-kqvga")
    assert completed(typed) == [part.replace("katana-kqvga.yaml", path) for part in typed]


CHECKS = {
    "old": "def check_dataset(data):\n    val = data.get('val')\n\n\nkey = 'path'\n",
    "new": "def check_dataset(data):\n    path = data.get('path')\n    return path\n",
    "none": "",
}


@pytest.mark.parametrize("kind", CHECKS)
def test_an_old_fork_gets_a_data_yaml_that_it_can_read(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache" / "synet"))
    root, images = tmp_path / "fork", tmp_path / "set" / "images"
    (root / "utils").mkdir(parents=True)
    (root / "utils" / "general.py").write_text(CHECKS[kind])
    images.mkdir(parents=True)
    data = tmp_path / "set" / "my.yaml"
    data.write_text("path: .\ntrain: images\nval: images\nnames: {0: a, 1: b}\n")
    for typed in (["--data", str(data)], [f"--data={data}"]):
        (*_, last) = completed(typed, root)
        if kind == "new":
            assert last == typed[-1]
            continue
        copy = Path(last.removeprefix("--data="))
        assert copy.is_relative_to(tmp_path / "cache" / "synet")
        assert yaml.safe_load(copy.read_text()) == {
            "train": str(images),
            "val": str(images),
            "nc": 2,
            "names": ["a", "b"],
        }
    assert data.read_text().startswith("path: .")


def test_a_data_yaml_that_is_read_from_the_working_directory_stays(tmp_path):
    data = tmp_path / "data" / "my.yaml"
    data.parent.mkdir()
    data.write_text("train: ../elsewhere/images\nval: images\nnc: 1\nnames: [a]\n")
    assert completed(["--data", str(data)], tmp_path) == ["--data", str(data)]


def test_the_chip_is_the_one_that_the_yaml_names(tmp_path):
    (tmp_path / "ours.yaml").write_text("synet: {chip: another}\n")
    assert chip_of(["train.py", "--cfg", str(tmp_path / "ours.yaml")]) == "another"
    assert chip_of(["train.py", f"--cfg={tmp_path / 'ours.yaml'}"]) == "another"
    assert chip_of(["train.py", "--cfg", "nowhere.yaml"]) == chip_of(["python"]) == "katana"


def test_a_copy_needs_no_home(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    data = tmp_path / "my.yml"
    data.write_text("train: images\nvalidation: images\nnc: 2\n")
    for name in ("XDG_CACHE_HOME", "SYNET_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for home in ("/dev/null", str(tmp_path / "home")):
        monkeypatch.setenv("HOME", home)
        copy = readable_copy(data)
        content = yaml.safe_load(copy.read_text())
        assert content["val"] == str(tmp_path / "images") and content["nc"] == 2
    assert copy.is_relative_to(tmp_path / "home" / ".cache" / "synet")
