"""Drawn predictions on disk, by the vendor's model on images drawn here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synet.data import load_dataset
from synet.errors import DataError, SynetError
from synet.images import read_image, write_image
from synet.predict import predict


@pytest.fixture
def model(shared) -> Path:
    path = shared / "models" / "person_pose_detection_256x480.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("b.png", "a.jpg", "more/A.png"):
        write_image(tmp_path / "photos" / name, np.full((60, 90, 3), 128, np.uint8))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_each_run_has_a_folder_of_its_own(model, photos, tmp_path):
    out = tmp_path / "runs"
    first = predict(model, [photos], out, progress=False)
    assert first == [out / "exp" / "a.jpg", out / "exp" / "b.jpg"]
    assert read_image(first[0]).shape == (60, 90, 3)
    kept = first[0].read_bytes()
    (out / "exp2").write_text("not even a folder")
    second = predict(model, [photos / "b.png"], out, confidence=0.9, progress=False)
    assert second == [out / "exp3" / "b.jpg"]
    assert first[0].read_bytes() == kept


def test_images_of_one_name_are_all_saved(model, photos, tmp_path):
    files = [photos / "a.jpg", photos / "more" / "A.png", photos / "a.jpg"]
    saved = predict(model, files, tmp_path / "runs", progress=False)
    assert [path.name for path in saved] == ["a.jpg", "A-2.jpg", "a-3.jpg"]
    assert all(path.is_file() for path in saved)


def test_people_are_drawn_in(model, shared, tmp_path, caplog):
    images = load_dataset(shared / "data" / "coco128" / "coco128.yaml").images("val")
    (image,) = [path for path in images if path.stem == "000000000885"]
    (saved,) = predict(model, [image], tmp_path, progress=False)
    (nothing,) = predict(model, [image], tmp_path, confidence=0.999, progress=False)
    changed = np.abs(read_image(saved).astype(int) - read_image(nothing)).max(axis=-1) > 60
    assert 500 < changed.sum() < 0.1 * changed.size
    assert "tells keypoints, too, which are not drawn here; `synet ultralytics predict`" in (
        caplog.text
    )


def test_a_missing_image_is_told_before_anything_is_written(model, photos, tmp_path):
    with pytest.raises(DataError, match="no.png: no such image"):
        predict(model, [photos / "a.jpg", photos / "no.png"], tmp_path / "runs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images in this folder"):
        predict(model, [tmp_path / "empty"], tmp_path / "runs")
    with pytest.raises(SynetError, match="no.pt: no such file"):
        predict("no.pt", [photos], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unreadable_image(model, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="broken.png: not an image"):
        predict(model, [photos / "broken.png"], tmp_path / "runs", progress=False)


def test_nowhere_to_write(model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SynetError, match="cannot write to .*file"):
        predict(model, [photos], tmp_path / "file", progress=False)
    with pytest.raises(SynetError, match="cannot write to .*file"):
        predict(model, [photos], tmp_path / "file" / "deeper", progress=False)
