"""What cannot be read is left out and told once, in calibration and metrics; or it is an error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from colour_detector import ColourDetector, make_dataset
from every_form import picture

from synet.cli import main
from synet.data.calibration import calibration_for
from synet.data.yolo_yaml import load_dataset
from synet.evaluation.metrics import measure
from synet.system.errors import DataError

SHAPE = (96, 128)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images, of which two are broken, and one of another kind."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for index in range(6):
        image = rng.integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image)
    for broken in ("1", "4"):
        (tmp_path / "images" / f"{broken}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "images" / "film.gif").write_bytes(b"GIF89a")
    file = tmp_path / "data.yaml"
    file.write_text(yaml.safe_dump({"val": "images", "names": ["a"]}))
    return file


def test_calibration_goes_on_with_other_images(data, caplog):
    for number, count in ((3, 3), (4, 4), (500, 4)):
        found = calibration_for(data, SHAPE, 1, number, seed=0)
        assert len(found) == count
        assert not {"1.png", "4.png"} & {file.name for file in found.files}
        assert len(list(found.images())) == count
    assert found.source == f"4 of 6 images of the val split of {data}"
    assert "1 file is an image of a kind that YOLO does not take (1 .gif); left out" in caplog.text
    assert "left out 2 of 6 images, as YOLO does: " in caplog.messages[-1]


def test_the_choice_of_sound_images_is_what_it_was(data):
    for broken in ("1", "4"):
        picture(data.parent / "images" / f"{broken}.png")
    order = np.random.default_rng(7).permutation(6)[:4]
    files = calibration_for(data, SHAPE, 1, 4, seed=7).files
    assert [file.stem for file in files] == [str(index) for index in order]


def test_strict_calibration(data):
    with pytest.raises(DataError, match=r"\(1 \.gif\); convert, or do without --strict"):
        calibration_for(data, SHAPE, 1, 500, seed=0, strict=True)
    (data.parent / "images" / "film.gif").unlink()
    with pytest.raises(DataError, match=r"\d.png: not an image, or a damaged one"):
        calibration_for(data, SHAPE, 1, 500, seed=0, strict=True)


def test_calibration_without_any_image_that_can_be_read(data):
    for file in (data.parent / "images").glob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="val: none of the 6 images can be used; the first: "):
        calibration_for(data, SHAPE, 1, 500, seed=0)


def test_several_models_tell_it_once(tmp_path, caplog):
    scenes = [[(0, 10, 10, 20, 30)], [(1, 50, 40, 40, 20)], [(0, 5, 60, 40, 30)]]
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    dataset.images("val")[1].write_bytes(b"")
    models = {"a.pt": ColourDetector(), "b.pt": ColourDetector(gain=0.5)}
    result = measure(models, [dataset], progress=False)
    assert [each.together.images for each in result.models] == [2, 2]
    assert [each.together.labels for each in result.models] == [2, 2]
    (told,) = [text for text in caplog.messages if "left out" in text]
    assert "val: left out 1 of 3 images, as YOLO does: " in told


@pytest.mark.parametrize("command", ["evaluate", "metrics", "quantize", "report"])
def test_strict_is_an_option(command):
    told = CliRunner().invoke(main, [command, "--help"]).output
    assert "--strict" in told
