from __future__ import annotations

import pytest

from synet import zoo
from synet.patches.arguments import completed

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
    assert completed([*rest, *typed]) == [*rest, *expected, "--img", "320", "--weights", ""]


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


def test_the_size_of_a_users_own_yaml_is_its_longer_side(empty_folder):
    (empty_folder / "tall.yaml").write_text("synet: {image_shape: [640, 480]}\n")
    arguments = completed(["--cfg", "tall.yaml"])
    assert arguments == ["--cfg", "tall.yaml", "--img", "640", "--weights", ""]


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["--cfg"],
        ["--cfg", ""],
        ["--cfg", "yolov5n.yaml"],
        ["--cfg", "models/nowhere.yaml", "--epochs", "3"],
        ["--config", "katana-kqvga.yaml"],
    ],
)
def test_anything_else_stays_as_it_was_typed(typed):
    assert completed(typed) == typed


def test_the_list_that_was_given_is_not_changed():
    typed = ["--cfg", "katana-kqvga"]
    completed(typed)
    assert typed == ["--cfg", "katana-kqvga"]
