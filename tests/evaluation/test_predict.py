"""Predictions on disk: by the vendor's model, and by small ones of every task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_files
from click.testing import CliRunner
from drawn_video import write as write_video
from pycocotools.coco import COCO
from rich.progress import Progress
from vendors_files import vendors_file

from synet.cli import main
from synet.custom_patches import unpatch
from synet.data.drawn_shapes import NAMES, draw_image
from synet.data.images import read_image, write_image
from synet.data.videos import Stream
from synet.data.yolo_yaml import load_dataset
from synet.evaluation.predict import Predicted, predict
from synet.models.detect import detect
from synet.models.predictor import load_predictor
from synet.system.errors import DataError, SynetError


@pytest.fixture
def model(shared) -> Path:
    return vendors_file(shared, "person_pose_detection_256x480.tflite")


GREY = np.full((60, 90, 3), 128, np.uint8)
POSE = ("keypoints", "presence", "scores", "x1y1", "x2y2")  # roles, in the order of files


def contents(folder: Path) -> list[str]:
    """All files in a folder, by their paths in it."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("b.png", "a.jpg", "more/A.png"):
        write_image(tmp_path / "photos" / name, GREY)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_each_run_has_a_folder_of_its_own(model, photos, tmp_path):
    out = tmp_path / "runs"
    first = predict(model, [photos], out, progress=False)
    assert first == Predicted(
        out / "exp", (out / "exp" / "a.jpg", out / "exp" / "b.jpg"), images=2, found=0
    )
    assert read_image(first.drawn[0]).shape == (60, 90, 3)
    kept = first.drawn[0].read_bytes()
    (out / "exp2").write_text("not even a folder")
    second = predict(model, [photos / "b.png"], out, confidence=0.9, progress=False)
    assert second.drawn == (out / "exp3" / "b.jpg",)
    assert first.drawn[0].read_bytes() == kept


def test_images_of_one_name_are_all_saved(model, photos, tmp_path):
    files = [photos / "a.jpg", photos / "more" / "A.png", photos / "a.jpg"]
    done = predict(model, files, tmp_path / "runs", progress=False)
    assert [path.name for path in done.drawn] == ["a.jpg", "A-2.jpg", "a-3.jpg"]
    assert all(path.is_file() for path in done.drawn)
    images = json.loads((done.folder / "images.json").read_text())["images"]
    assert [image["id"] for image in images] == ["a", "A-2", "a-3"]
    assert [Path(image["file_name"]) for image in images] == files
    assert {path.name for path in (done.folder / "raw").iterdir()} == {"a", "A-2", "a-3"}


def test_ids_are_different_where_numbers_are_the_same(model, tmp_path):
    files = [write_image(tmp_path / name, GREY) for name in ("7.png", "x/007.png", "x/7-2.png")]
    done = predict(model, files, tmp_path / "runs", progress=False)
    images = json.loads((done.folder / "images.json").read_text())["images"]
    assert [image["id"] for image in images] == [7, "007-2", "7-2"]


def test_a_missing_image_is_told_before_anything_is_written(model, photos, tmp_path):
    with pytest.raises(DataError, match="no.png: no such image"):
        predict(model, [photos / "a.jpg", photos / "no.png"], tmp_path / "runs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images or videos in this folder"):
        predict(model, [tmp_path / "empty"], tmp_path / "runs")
    with pytest.raises(SynetError, match="no.pt: no such file"):
        predict("no.pt", [photos], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unreadable_image_ends_the_run_with_what_is_drawn_before(model, photos, tmp_path):
    (photos / "b2.png").write_bytes(b"broken")
    write_image(photos / "c.png", GREY)
    with pytest.raises(DataError, match="b2.png: not an image"):
        predict(model, [photos], tmp_path / "runs", progress=False)
    folder = tmp_path / "runs" / "exp"
    assert contents(folder) == [
        *("a.jpg", "b.jpg", "images.json", "predictions.json"),
        *(f"raw/{name}/{role}.npy" for name in "ab" for role in POSE),
    ]
    images = json.loads((folder / "images.json").read_text())["images"]
    assert [image["id"] for image in images] == ["a", "b"]
    with pytest.raises(DataError, match="b2.png: not an image"):
        predict(model, [photos / "b2.png", photos], tmp_path / "runs", progress=False)
    assert contents(tmp_path / "runs") == [f"exp/{name}" for name in contents(folder)]


def test_nowhere_to_write(model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SynetError, match="cannot write to .*file"):
        predict(model, [photos], tmp_path / "file", progress=False)
    with pytest.raises(SynetError, match="cannot write to .*file"):
        predict(model, [photos], tmp_path / "file" / "deeper", progress=False)


def test_the_command_says_what_was_made_and_where(model, photos, tmp_path):
    glob, out = str(photos / "**" / "*.png"), tmp_path / "new folder"
    result = CliRunner().invoke(main, ["predict", str(model), glob, "--out", str(out), "--no-raw"])
    assert result.exit_code == 0, result.output
    told = f"wrote 2 drawn files and predictions.json (2 images, 0 results) to {out / 'exp'}\n"
    assert result.stdout == told
    assert contents(out / "exp") == ["A.jpg", "b.jpg", "images.json", "predictions.json"]


# --- what is found --------------------------------------------------------------------------------


@pytest.fixture
def street(shared) -> Path:
    images = load_dataset(shared / "data" / "coco128" / "coco128.yaml").images("val")
    (image,) = [path for path in images if path.stem == "000000000885"]
    return image


def test_people_are_drawn_and_told(model, street, tmp_path, capsys):
    done = predict(model, [street], tmp_path, progress=False)
    nothing = predict(model, [street], tmp_path, confidence=0.999, progress=False)
    drawn, plain = (read_image(each.drawn[0]).astype(int) for each in (done, nothing))
    changed = np.abs(drawn - plain).max(axis=-1) > 60
    assert 500 < changed.sum() < 0.1 * changed.size
    assert (nothing.folder / "predictions.json").read_text() == "[]\n"

    results = COCO(done.folder / "images.json").loadRes(str(done.folder / "predictions.json"))
    capsys.readouterr()
    (image,) = results.loadImgs([885])
    assert (image["file_name"], image["width"], image["height"]) == (str(street), 640, 427)
    found = detect(load_predictor(model), read_image(street), 0.25, 0.45)
    entries = results.loadAnns(results.getAnnIds())
    assert len(entries) == len(found) == done.found > 0
    for index, entry in enumerate(entries):
        x, y, width, height = entry["bbox"]
        np.testing.assert_allclose([x, y, x + width, y + height], found.boxes[index], atol=2e-3)
        np.testing.assert_allclose(
            np.reshape(entry["keypoints"], (17, 3)), found.keypoints[index], atol=1e-3
        )


@pytest.fixture(scope="module", autouse=True)
def patched():
    yield
    unpatch()


ROLES = {
    "detect": {"x1y1", "x2y2", "scores"},
    "pose": {"x1y1", "x2y2", "scores", "keypoints", "presence"},
    "segment": {"x1y1", "x2y2", "scores", "coefficients", "prototypes"},
    "obb": {"rotated", "scores"},
    "classify": {"probabilities"},
}
TOLD = {
    "detect": set(),
    "pose": {"keypoints"},
    "segment": {"segmentation"},
    "obb": {"rbox", "poly"},
    "classify": {"probabilities"},
}


def predicted(done: Predicted, task: str) -> tuple[list[dict], dict[str, np.ndarray]]:
    """The entries of a run on ``Bild 1.png``, and what is raw, after a look at their form."""
    entries = json.loads((done.folder / "predictions.json").read_text())
    common = {"image_id", "category_id", "score"} | (set() if task == "classify" else {"bbox"})
    assert len(entries) == done.found > 0
    for entry in entries:
        assert entry.keys() == common | TOLD[task] and entry["image_id"] == "Bild 1"
    categories = json.loads((done.folder / "images.json").read_text())["categories"]
    assert [category["name"] for category in categories] == list(NAMES)
    raw = {path.stem: np.load(path) for path in (done.folder / "raw" / "Bild 1").iterdir()}
    assert raw.keys() == ROLES[task]
    assert {values.dtype for values in raw.values()} == {np.dtype(np.float32)}
    return entries, raw


@pytest.fixture
def picture(tmp_path) -> Path:
    image, _ = draw_image(np.random.default_rng(1), (100, 150))
    return write_image(tmp_path / "Bild 1.png", image)


@pytest.mark.parametrize("task", ROLES)
def test_a_checkpoint_of_every_task(task, picture, tmp_path):
    done = predict(tiny_files.checkpoint(task), [picture], tmp_path / "out", progress=False)
    predicted(done, task)
    drawn, before = (read_image(path).astype(int) for path in (done.drawn[0], picture))
    assert drawn.shape == before.shape
    assert (np.abs(drawn - before).max(axis=-1) > 60).sum() > 200  # something is drawn


@pytest.mark.parametrize("task", ["segment", "obb", "classify"])
def test_a_file_beside_its_checkpoint(task, picture, tmp_path):
    """The same network, so the same is told, and drawn twice."""
    checkpoint, file = tiny_files.checkpoint(task), tiny_files.file(task)
    options = {"confidence": 0.5, "iou": 0.1, "progress": False}
    alone = predict(checkpoint, [picture], tmp_path / "out", **options)
    both = predict(file, [picture], tmp_path / "out", beside=checkpoint, **options)
    (expected, raw), (found, file_raw) = predicted(alone, task), predicted(both, task)
    for each, other in zip(expected, found, strict=True):
        assert each["category_id"] == other["category_id"]
        assert each["score"] == pytest.approx(other["score"], abs=1e-3)
    for role, values in raw.items():
        np.testing.assert_allclose(file_raw[role], values, atol=2e-3)
    drawn, joined = (read_image(done.drawn[0]).astype(int) for done in (alone, both))
    height, width = drawn.shape[:2]
    panels = joined[-height - 8 : -8, 8 : 8 + width], joined[-height - 8 : -8, -width - 8 : -8]
    for panel in panels:
        assert np.abs(panel - drawn).mean() < 5


def test_side_by_side_takes_models_of_one_task(model, photos, tmp_path):
    with pytest.raises(SynetError, match="is a model for classify, and the other one for pose"):
        predict(model, [photos], tmp_path / "runs", beside=tiny_files.checkpoint("classify"))
    with pytest.raises(SynetError, match="no.pt: no such file"):
        predict(model, [photos], tmp_path / "runs", beside="no.pt")
    assert not (tmp_path / "runs").exists()


def test_raw_is_what_the_network_told(model, street, tmp_path):
    done = predict(model, [street], tmp_path, progress=False)
    raw = {path.stem: np.load(path) for path in (done.folder / "raw" / street.stem).iterdir()}
    assert {role: values.shape for role, values in raw.items()} == {
        "x1y1": (600, 2),
        "x2y2": (600, 2),
        "scores": (600, 1),
        "keypoints": (600, 17, 2),
        "presence": (600, 17),
    }
    assert raw["scores"].max() > 0.5 > np.median(raw["scores"])
    without = predict(model, [street], tmp_path, raw=False, progress=False)
    assert contents(without.folder) == [f"{street.stem}.jpg", "images.json", "predictions.json"]


# --- several images in one run --------------------------------------------------------------------


def test_pictures_that_run_together_are_told_and_drawn_as_alone(tmp_path):
    """Images in threes, the frames of each video by themselves, and nothing across."""
    random, shots = np.random.default_rng(0), []
    for name in "abcde":
        image, _ = draw_image(random, (100, 150))
        shots.append(write_image(tmp_path / f"{name}.png", image))
    clip = write_video(tmp_path / "clip.mp4", range(0, 200, 50))
    sources, runs = [*shots[:4], clip, shots[4]], []
    for batch in (1, 3):
        options = {"raw": True, "batch": batch, "progress": False}
        runs.append(predict(tiny_files.checkpoint("detect"), sources, tmp_path / "out", **options))
    alone, together = (done.folder for done in runs)
    assert runs[1].images == 9 and runs[1].found == runs[0].found > 0
    assert contents(together) == contents(alone)
    assert (together / "images.json").read_text() == (alone / "images.json").read_text()
    told = [json.loads((each / "predictions.json").read_text()) for each in (alone, together)]
    for expected, found in zip(*told, strict=True):
        assert found["image_id"] == expected["image_id"]
        assert found["bbox"] == pytest.approx(expected["bbox"], abs=2e-3)  # told to three places
        assert found["score"] == pytest.approx(expected["score"], abs=2e-5)  # and to five
    for path in alone.rglob("*.npy"):
        expected, found = np.load(path), np.load(together / path.relative_to(alone))
        near = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=near)


def test_what_runs_with_an_unreadable_image_and_comes_before_it_is_drawn(photos, tmp_path):
    write_image(photos / "c.png", GREY)
    (photos / "d.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="d.png: not an image"):
        predict(
            tiny_files.checkpoint("detect"), [photos], tmp_path / "runs", batch=8, progress=False
        )
    images = json.loads((tmp_path / "runs" / "exp" / "images.json").read_text())["images"]
    assert [image["id"] for image in images] == ["a", "b", "c"]


def test_a_batch_of_files_alone_is_refused(photos, tmp_path):
    with pytest.raises(SynetError, match="^--batch 2: is of a .pt checkpoint"):
        predict("no.tflite", [photos], tmp_path / "runs", beside="other.tflite", batch=2)
    assert not (tmp_path / "runs").exists()


# --- videos ---------------------------------------------------------------------------------------


def test_a_video_becomes_a_video(model, street, tmp_path, caplog):
    people = read_image(street)[:420, :640]
    clip = write_video(tmp_path / "clip.mp4", [0] * 2, people.shape[:2])
    done = predict(model, [clip, street], tmp_path / "runs", raw=True, progress=False)
    assert [path.name for path in done.drawn] == ["clip.mp4", f"{street.stem}.jpg"]
    assert done.images == 3
    drawn = Stream.probe(done.drawn[0])
    assert (drawn.total, drawn.frames_per_second) == (2, 10.0)
    images = json.loads((done.folder / "images.json").read_text())["images"]
    assert [(image["id"], image.get("frame")) for image in images] == [
        *(("clip/0", 0), ("clip/1", 1), (885, None)),
    ]
    assert contents(done.folder / "raw" / "clip") == [
        f"{frame}/{role}.npy" for frame in (0, 1) for role in POSE
    ]
    assert not caplog.text
    first = predict(model, [clip], tmp_path / "runs", frames=1, progress=False)
    assert Stream.probe(first.drawn[0]).total == first.images == 1
    assert contents(first.folder) == ["clip.mp4", "images.json", "predictions.json"]


def test_a_video_that_ends_early_is_told(model, tmp_path, caplog):
    clip = write_video(tmp_path / "clip.mp4", range(0, 250, 10))
    content = bytearray(clip.read_bytes())
    where = content.index(b"mdat") + 4
    content[where + 400 : content.index(b"moov")] = bytes(content.index(b"moov") - where - 400)
    clip.write_bytes(content)
    done = predict(model, [clip], tmp_path / "runs", progress=False)
    assert 0 < done.images < 25
    assert f"clip.mp4: ends at frame {done.images} of 25" in caplog.text
    assert Stream.probe(done.drawn[0]).total == done.images


def test_ctrl_c_leaves_a_whole_video_and_its_predictions(model, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [0, 80, 160, 240] * 500)
    command = [sys.executable, "-m", "synet", "predict", model, clip, "--raw", "--out", "runs"]
    running = subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    folder, started = tmp_path / "runs" / "exp", time.monotonic()
    while not (folder / "raw" / "clip" / "5" / "x2y2.npy").is_file():
        assert running.poll() is None and time.monotonic() - started < 60
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert "synet: interrupted" in running.communicate()[1]
    assert running.returncode == 130
    assert [path.name for path in sorted(folder.iterdir())] == [
        *("clip.mp4", "images.json", "predictions.json", "raw")
    ]
    images = json.loads((folder / "images.json").read_text())["images"]
    assert 5 <= len(images) < 2000
    assert Stream.probe(folder / "clip.mp4").total == len(images)
    assert len(list((folder / "raw" / "clip").iterdir())) == len(images)


def test_a_camera_is_stopped_by_ctrl_c_and_all_is_well(model, tmp_path, monkeypatch):
    """The camera is a video here; that it is one is all that differs."""
    clip = write_video(tmp_path / "clip.mp4", [0, 80, 160, 240] * 5)
    monkeypatch.setattr(Stream, "is_camera", True)
    steps = []

    def press(*_, **__):
        steps.append(os.kill(os.getpid(), signal.SIGINT) if len(steps) == 2 else None)

    monkeypatch.setattr(Progress, "advance", press)
    # A shell's background jobs, as tests may be, start with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = predict(model, [clip], tmp_path / "runs", progress=False)
    finally:
        after = signal.signal(signal.SIGINT, before)
    assert done.images == Stream.probe(done.drawn[0]).total == 3
    assert after is signal.default_int_handler
