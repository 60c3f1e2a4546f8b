"""TFLite files in ultralytics' own validators and predictors, against its own torch models."""

from __future__ import annotations

import importlib
import logging
import re
import zipfile
from pathlib import Path

import cv2
import int8_models
import numpy as np
import pytest
import tiny_ultralytics as tiny
import torch
from patched import patched_fork
from small_tflite import small

from synet.custom_patches import unpatch
from synet.data.drawn_shapes import draw_dataset
from synet.data.images import read_image
from synet.data.yolo_yaml import label_path, load_dataset
from synet.detections.detections import Detections, overlaps
from synet.evaluation.found import ground_truth
from synet.export.convert import to_keras
from synet.models.locate import installed
from synet.system.errors import DataError, SynetError
from synet.tflite.metadata import RANDOM as RANDOM_IMAGES
from synet.tflite.model import embed_metadata, read_metadata

RANDOM = np.random.default_rng(0).integers(0, 256, (2, 3, *tiny.SHAPE))
IMAGES = torch.from_numpy(RANDOM).float() / 255


@pytest.fixture(scope="module", autouse=True)
def fork():
    yield patched_fork(installed("ultralytics"), "sabre")
    unpatch()


@pytest.fixture(scope="module")
def files(fork, tmp_path_factory):
    """``best.tflite`` beside the ``best.pt`` that it was made of, for a task."""
    made: dict[tuple, Path] = {}

    def make(task: str, channels: int = 3, quantize: bool = False) -> Path:
        key = (task, channels, quantize)
        if key not in made:
            network = tiny.network(task, channels)
            twin = tiny.save(network, tmp_path_factory.mktemp(task) / "best.pt")
            keras = to_keras(network, tiny.SHAPE, channels)
            content = int8_models._convert(keras, quantize)
            content = embed_metadata(content, tiny.metadata(network, task, channels))
            made[key] = twin.with_suffix(".tflite")
            made[key].write_bytes(content)
        return made[key]

    return make


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small data set of shapes for a task."""
    made: dict[str, Path] = {}

    def draw(task: str) -> Path:
        if task not in made:
            folder = tmp_path_factory.mktemp(f"drawn-{task}")
            made[task] = draw_dataset(folder, 0, 3, 3, 3, (128, 192), task)
        return made[task]

    return draw


def backend(path: Path, **options):
    module = importlib.import_module("ultralytics.nn.autobackend")
    with torch.no_grad():
        return module.AutoBackend(str(path), **options).eval()


def yolo(path: Path, **options):
    return importlib.import_module("ultralytics").YOLO(str(path), **options)


def tensors(answer) -> list[torch.Tensor]:
    if isinstance(answer, torch.Tensor):
        return [answer]
    return [y for part in answer if isinstance(part, (torch.Tensor, tuple)) for y in tensors(part)]


def clipped(rows: torch.Tensor, points: list[int]) -> torch.Tensor:
    """Rows with corners and keypoints on the image, as an exported head leaves them."""
    side = max(tiny.SHAPE)
    low, high = rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2
    rows = torch.cat([low.clamp(0, side), high.clamp(0, side), rows[:, 4:]], 1)
    rows[:, points] = rows[:, points].clamp(0, side)
    return rows


@pytest.mark.parametrize("task", tiny.HEADS)
def test_rows_are_those_of_ultralytics_own_model(files, task):
    """Every task, in float, where nothing but the arrangement can differ."""
    path = files(task)
    expected, found = (tensors(backend(file)(IMAGES)) for file in (path.with_suffix(".pt"), path))
    if task == "pose":
        points = [7 + i for i in range(12) if i % 3 < 2]
        expected[0], found[0] = clipped(expected[0], points), clipped(found[0], points)
    elif task in ("detect", "segment"):
        expected[0], found[0] = clipped(expected[0], []), clipped(found[0], [])
    assert len(found) == (2 if task == "segment" else 1)
    for ours, theirs in zip(found, expected, strict=False):
        assert ours.shape == theirs.shape and ours.dtype == torch.float32
        assert theirs.dim() != 3 or theirs.std(dim=2).min() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)


def test_a_grey_file_sees_the_luma_of_colour_images(files):
    path = files("detect", channels=1)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luma = (IMAGES * 255 * weights).sum(1, keepdim=True).round() / 255
    network = backend(path.with_suffix(".pt"))
    (expected,), (found,) = tensors(network(luma))[:1], tensors(backend(path)(IMAGES))
    torch.testing.assert_close(found[:, 4:], expected[:, 4:], rtol=0, atol=1e-3)
    assert (tensors(network(luma.flip(3)))[0] - expected)[:, 4:].abs().max() > 0.05


@pytest.mark.parametrize("task", tiny.HEADS)
def test_val_and_predict_are_ultralytics_own(files, drawn, tmp_path, task):
    path, data = files(task), drawn(task)
    model = yolo(path)
    assert model.task == task
    options = {"project": tmp_path, "name": "val", "plots": True, "verbose": False}
    metrics = model.val(data=data, **options)
    assert type(metrics).__module__ == "ultralytics.utils.metrics"
    assert (tmp_path / "val" / "val_batch0_pred.jpg").is_file()
    shift = metrics.confidence_shift  # its twin lies beside it, and this file is not quantized
    assert shift.matched >= 0.95 * shift.objects > 0 and shift.mean < 1e-3
    picture = next((data if data.is_dir() else data.parent).rglob("*val/**/*.jpg"))
    (result,) = model.predict(picture, conf=0.01, save=True, project=tmp_path, name="predict")
    assert result.names == dict(enumerate(tiny.NAMES))
    told = {"detect": "boxes", "pose": "keypoints", "segment": "masks", "classify": "probs"}
    told = told.get(task, task)
    assert getattr(result, told) is not None and result.orig_shape == (128, 192)
    assert (tmp_path / "predict" / picture.name).is_file()


def test_class_names_that_are_not_those_of_the_data(files, tmp_path, caplog):
    data = tmp_path / "data.yaml"
    data.write_text("names: {0: circle, 1: triangle, 2: square, 3: star}")
    names = backend(files("detect"), data=data).names
    assert names == dict(enumerate(tiny.NAMES))
    assert "the first classes of" in caplog.text and "circle, triangle, square: " in caplog.text
    caplog.clear()
    data.write_text("names: [circle, square, triangle, star]")
    assert backend(files("detect"), data=data).names == names
    assert not caplog.text


def test_an_int8_file_is_compared_with_its_twin(files, drawn, tmp_path, caplog):
    model = yolo(files("detect", quantize=True))
    logger = logging.getLogger("ultralytics")
    logger.addHandler(caplog.handler)
    try:
        metrics = model.val(data=drawn("detect"), project=tmp_path, plots=False)
    finally:
        logger.removeHandler(caplog.handler)
    assert 0 < metrics.confidence_shift.mean < 0.05
    assert "confidence shift 0.0" in caplog.text and "best.pt finds" in caplog.text
    assert re.search(r"fast kernels, up to \d+ of 255 steps off the reference in", caplog.text)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"calibration": {"source": RANDOM_IMAGES}}, "calibrated on random images: good to look"),
        (
            {"proof": {"proven": False, "missed": "10.0 dB"}},
            "not proven to do what the float model does: 10.0 dB",
        ),
    ],
)
def test_a_file_whose_figures_are_doubtful_says_so_once(told, said, files, drawn, tmp_path, caplog):
    path = tmp_path / "best.tflite"
    content = files("detect").read_bytes()
    path.write_bytes(embed_metadata(content, {**read_metadata(content), **told}))
    yolo(path).val(data=drawn("detect"), project=tmp_path, plots=False)
    (line,) = (each for each in caplog.messages if said in each)
    assert line.startswith(f"{path}: ")


def test_a_twin_that_cannot_be_read_is_told(files, drawn, tmp_path, caplog):
    path = tmp_path / "best.tflite"
    path.write_bytes(files("detect").read_bytes())
    path.with_suffix(".pt").write_bytes(b"no checkpoint")
    metrics = yolo(path).val(data=drawn("detect"), project=tmp_path, plots=False)
    assert not hasattr(metrics, "confidence_shift")
    assert "no confidence shift: " in caplog.text


def test_keypoints_of_another_data_set(files, tmp_path):
    data = draw_dataset(tmp_path, 0, 1, 1, 1, (128, 192), "pose")
    data.write_text(data.read_text().replace("- 4\n- 3", "- 3\n- 3"))
    for labels in (tmp_path / "labels").rglob("*.txt"):  # without the last of four
        lines = [line.rsplit(maxsplit=3)[0] for line in labels.read_text().splitlines()]
        labels.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"kpt_shape is \[3, 3\], and .* tells \[4, 3\]"):
        yolo(files("pose")).val(data=data, project=tmp_path, plots=False)


def test_an_image_of_another_shape(files):
    with pytest.raises(SynetError, match="takes images of 64x96 .* given 96x64; say imgsz=64,96"):
        backend(files("detect"))(IMAGES.transpose(2, 3))


def test_other_files_go_ultralytics_own_way(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(int8_models.good())  # boxes and scores, but not SyNet's
    other = backend(path)
    assert type(other.backend).__name__ == "LiteRTBackend"
    assert other.backend.input_details[0]["shape"].tolist() == [1, *int8_models.SHAPE, 1]


@pytest.fixture
def vendor(shared):
    def find(name: str) -> Path:
        path = shared / "models" / f"{name}.tflite"
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        return path

    return find


@pytest.fixture
def people(shared, tmp_path) -> Path:
    """The data yaml of coco128's val images, where ultralytics may write its cache."""
    source = load_dataset(shared / "data" / "coco128" / "coco128.yaml")
    for image in source.images("val"):
        for file, kind in ((image, "images"), (label_path(image), "labels")):
            link = tmp_path / "coco" / kind / "val" / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    data = tmp_path / "coco" / "data.yaml"
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(source.names))
    data.write_text(f"train: images/val\nval: images/val\nnames:\n{names}")
    return data


def test_the_vendors_person_detector_on_coco(vendor, people, tmp_path, caplog):
    """Its README says 0.680, of this confidence and overlap, with a recall of 1 at precision 0.

    That is how YOLOs have always counted; ultralytics of today ends the curve at the last
    recall, and prints less for the same boxes.
    """
    model = yolo(vendor("person_detection_480x640"))
    options = {"conf": 0.01, "iou": 0.6, "save_txt": True, "save_conf": True}
    metrics = model.val(data=people, project=tmp_path, name="val", plots=False, **options)
    assert "does not name its classes: taken for the first of" in caplog.text
    assert metrics.names == {0: "person"} and metrics.nt_per_class.tolist() == [350]
    images = load_dataset(people).images("val")
    written = [tmp_path / "val" / "labels" / f"{image.stem}.txt" for image in images]
    assert average_precision(images, written, people) == pytest.approx(0.680, abs=0.01)
    assert 0.64 < metrics.box.map50 < 0.68


def average_precision(images, written, data) -> float:
    """Of class 0 at IoU 0.5 over 101 points, from the files that ultralytics writes."""
    hits, scores, objects = [], [], 0
    for truth, image, file in zip(
        ground_truth(load_dataset(data), images), images, written, strict=True
    ):
        truth = truth[truth.classes == 0]
        objects += len(truth)
        found = _read(file, image)
        shared = overlaps(found.boxes, truth.boxes)
        for row in np.argsort(-found.scores, kind="stable"):
            best = shared[row].argmax() if len(truth) else 0
            hit = bool(len(truth)) and shared[row, best] >= 0.5
            if hit:
                shared[:, best] = 0
            hits.append(hit)
            scores.append(found.scores[row])
    true = np.cumsum(np.array(hits)[np.argsort(-np.array(scores), kind="stable")])
    precision = true / np.arange(1, len(true) + 1)
    envelope = np.maximum.accumulate(np.concatenate([[1], precision, [0]])[::-1])[::-1]
    points = np.interp(np.linspace(0, 1, 101), [0, *(true / objects), 1], envelope)
    return float((points[1:] + points[:-1]).mean() / 2)


def _read(file: Path, image: Path) -> Detections:
    rows = np.loadtxt(file, ndmin=2) if file.is_file() else np.zeros((0, 6))
    height, width = read_image(image).shape[:2]
    size = np.array([width, height])
    corners = [(rows[:, 1:3] + sign * rows[:, 3:5] / 2) * size for sign in (-1, 1)]
    return Detections(np.concatenate(corners, axis=1), rows[:, 5], rows[:, 0])


def test_the_vendors_keypoints_lie_on_the_people(vendor, tmp_path):
    """On the two pictures that ultralytics ships, of which one has all people in full length."""
    assets = importlib.import_module("ultralytics").ASSETS
    model = yolo(vendor("person_pose_detection_256x480"))
    assert model.task == "pose"
    bus, zidane = model.predict([assets / "bus.jpg", assets / "zidane.jpg"], conf=0.5)
    assert (len(bus), len(zidane)) == (3, 2)
    for result in (bus, zidane):
        for box, points in zip(result.boxes.xyxy, result.keypoints.data, strict=True):
            seen = points[points[:, 2] > 0.5][:, :2]
            size = box[2:] - box[:2]
            inside = ((seen > box[:2] - 0.1 * size) & (seen < box[2:] + 0.1 * size)).all(1)
            assert len(seen) >= 8 and inside.float().mean() > 0.9
            head, hips = points[:5, 1].mean(), points[11:13, 1].mean()
            shoulders = points[5:7, 1].mean()
            assert head < shoulders < hips
            assert head < box[1] + 0.5 * size[1]

    order = bus.boxes.xyxy[:, 0].argsort()
    left_man, right_man = bus.keypoints.data[order][:2]  # both face the camera
    for points in (left_man, right_man):
        assert points[5, 0] > points[6, 0] and points[11, 0] > points[12, 0]  # their left is right
        hips, knees, ankles = (points[i : i + 2, 1].mean() for i in (11, 13, 15))
        assert hips < knees < ankles

    picture = cv2.cvtColor(cv2.imread(str(assets / "bus.jpg")), cv2.COLOR_BGR2RGB)
    assert (bus.plot()[..., ::-1] != picture).any(-1).mean() > 0.005


def test_a_swollen_archive_is_refused_before_it_is_unpacked(tmp_path):
    """ultralytics reads what lies first behind a file, by a static method, before it opens it."""
    path = tmp_path / "model.tflite"
    path.write_bytes(small())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("temp.meta", bytes(10**8))
    base = importlib.import_module("ultralytics.nn.backends.base").BaseBackend
    with pytest.raises(SynetError, match=r"temp\.meta is larger than 16 MiB"):
        base.read_metadata(path)
