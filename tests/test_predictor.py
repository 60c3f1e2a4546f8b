"""Torch and TFLite detectors behind one interface."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
import torch
from few_outputs import FewOutputs

from synet.agreement import keras_runner
from synet.data import load_dataset, read_image
from synet.errors import SynetError
from synet.evaluate import ground_truth
from synet.images import letterbox
from synet.predictor import (
    TflitePredictor,
    TorchPredictor,
    detect,
    image_channels,
    load_predictor,
)
from synet.quantize import to_keras


class ClassHead(torch.nn.Module):
    """What a classifier of ultralytics ends in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = torch.nn.Conv2d(1, 4, 1), torch.nn.AdaptiveAvgPool2d(1)
        self.drop, self.linear = torch.nn.Dropout(0), torch.nn.Linear(4, 2)


class Rows(heads.Anchors):
    """A network that is nothing but a head: it answers every image with the same rows."""

    def __init__(self, rows, names=("a", "b"), ch=3) -> None:
        super().__init__(nc=2)
        self.rows = torch.nn.Parameter(torch.tensor(rows, dtype=torch.float32)[None])
        self.names = names
        self.yaml = {"ch": ch}

    def forward(self, image):
        self.seen = image
        return self.rows, ["feature maps"]


def test_torch_rows_become_corners_and_scores():
    network = Rows([[50, 40, 20, 10, 0.5, 0.25, 1.0], [8, 8, 16, 16, 1.0, 0.0, 0.5]])
    network.train()
    predictor = TorchPredictor(network, (48, 64))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    boxes, scores = predictor(image)
    np.testing.assert_allclose(boxes, [[40, 35, 60, 45], [0, 0, 16, 16]])
    np.testing.assert_allclose(scores, [[0.125, 0.5], [0, 0.5]])
    assert boxes.dtype == scores.dtype == np.float32
    assert not network.training
    np.testing.assert_allclose(network.seen[0].numpy(), image.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("head", [heads.Face, heads.Dual, heads.Picked, heads.Pose])
def test_any_head_and_its_tflite_twin_find_the_same(head):
    network = heads.network(head(nc=2), 4 if head is heads.Dual else 2)
    predictor = TorchPredictor(network, (64, 96))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 1), np.uint8)
    boxes, scores = predictor(image)
    twin = keras_runner(to_keras(network, (64, 96), 1))(image.astype(np.float32) / 255)
    np.testing.assert_allclose(boxes[:, :2], twin["x1y1"][0], rtol=0, atol=1e-2)
    np.testing.assert_allclose(boxes[:, 2:], twin["x2y2"][0], rtol=0, atol=1e-2)
    np.testing.assert_allclose(scores, twin["scores"][0], rtol=0, atol=1e-4)


ROW = [[0] * 7]


@pytest.mark.parametrize("names", [("a", "b"), {1: "b", 0: "a"}, {"1": "b", "0": "a"}])
def test_names_as_list_or_map(names):
    assert TorchPredictor(Rows(ROW, names), (8, 8)).names == ("a", "b")


def test_names_keep_the_order_of_their_numbers():
    network = heads.network(heads.Anchors(nc=12))
    network.names = {str(number): f"class {number}" for number in reversed(range(12))}
    found = TorchPredictor(network, (8, 8)).names
    assert found == tuple(f"class {number}" for number in range(12))


@pytest.mark.parametrize("ch", [1, 3])
def test_a_network_is_given_its_own_number_of_channels(ch):
    network = Rows([[16, 12, 8, 6, 1, 1, 0]], ch=ch)
    predictor = TorchPredictor(network, (24, 32))
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 200
    found = detect(predictor, image, 0.5, 0.5)
    assert network.seen.shape == (1, ch, 24, 32)
    assert float(network.seen[0, 0, 0, 0]) == pytest.approx((200 if ch == 3 else 60) / 255)
    np.testing.assert_allclose(found.boxes, [[24, 18, 40, 30]])  # in the pixels of the image


def test_channels_that_a_chip_asks_for_come_first():
    network = Rows(ROW, ch=3)
    assert image_channels(network) == 3
    network.synet = {"chip": "katana", "channels": 1}
    assert image_channels(network) == 1
    network.synet = {"chip": "katana"}
    del network.yaml
    assert image_channels(network) == 3


def test_another_kind_of_network():
    predictor = TorchPredictor(Rows([[0] * 9]), (8, 8), name="seg.pt")
    with pytest.raises(SynetError, match=r"seg.pt: Rows returned \(1, 1, 9\), where .*R, 7\)"):
        predictor(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(SynetError, match="seg.pt: scores 2 classes, but names 3"):
        TorchPredictor(Rows(ROW, "abc"), (8, 8), name="seg.pt")
    network = heads.Never()
    network.names = ["a"]
    with pytest.raises(SynetError, match=r"seg.pt: .*Never is no head"):
        TorchPredictor(network, (8, 8), name="seg.pt")


@pytest.mark.parametrize("name", ["model.onnx", "model", "data.yaml"])
def test_other_files(tmp_path, name):
    with pytest.raises(SynetError, match="expected a .pt checkpoint or a .tflite file"):
        load_predictor(tmp_path / name)


@pytest.mark.parametrize("name", ["no.pt", "no.tflite"])
def test_missing_files(tmp_path, name):
    with pytest.raises(SynetError, match=f"{name}: no such file"):
        load_predictor(tmp_path / name)


@pytest.fixture(params=["person_detection_480x640", "person_pose_detection_256x480"])
def vendor_model(request, shared):
    path = shared / "models" / f"{request.param}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def test_vendor_models_find_the_people(vendor_model, shared):
    """Their outputs have no names, and the pose model has keypoints besides."""
    predictor = load_predictor(vendor_model)
    height, width = predictor.image_shape
    assert f"{height}x{width}" in vendor_model.stem
    assert (predictor.channels, predictor.names) == (3, ("0",))
    assert load_predictor(vendor_model, (width, height)).image_shape == (height, width)

    dataset = load_dataset(shared / "data" / "coco128" / "coco128.yaml")
    (path,) = [image for image in dataset.images("val") if image.stem == "000000000885"]
    image = read_image(path)
    (truth,) = ground_truth(dataset, [path])
    people = truth.boxes[truth.classes == 0]
    best = detect(predictor, image, 0.5, 0.5).boxes[0]
    assert np.abs(people - best).max(axis=1).min() < 20  # pixels of a 640 pixel wide image

    boxes, scores = predictor(letterbox(image, predictor.image_shape)[0])
    assert boxes.shape[0] == scores.shape[0] > 500
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert 0 <= scores.min() <= scores.max() <= 1


def test_a_classifier_is_no_detector():
    network = heads.network(heads.Anchors(nc=2))
    network.model.append(ClassHead())
    network.names = ("a", "b")
    with pytest.raises(SynetError, match="cls.pt: is a classifier, and finds no boxes; `"):
        TorchPredictor(network, (8, 8), name="cls.pt")
    model = FewOutputs({"probabilities": np.full((1, 2), 0.5, np.float32)})
    with pytest.raises(SynetError, match="odd.tflite: is a classifier"):
        TflitePredictor(model)


def test_what_else_a_model_tells():
    predictor = TorchPredictor(heads.network(heads.Pose(nc=2), 2), (64, 96))
    predictor(np.zeros((64, 96, 1), np.uint8))
    assert predictor.task == "pose"


def test_a_box_around_rotated_ones():
    """A cell of 4 pixels at (2, 2) whose sides lie 1 and 3 away; turned a quarter, they swap."""
    sides = np.tile(np.float32([1, 3, 1, 3]), (1, 4, 1))
    quarter = np.full((1, 4, 1), np.pi / 2, np.float32)
    outputs = {"sides": sides, "angle": quarter, "scores": np.ones((1, 4, 1), np.float32)}
    predictor = TflitePredictor(FewOutputs(outputs, {"strides": [4]}))
    boxes, _ = predictor(np.zeros((8, 8, 3), np.uint8))
    np.testing.assert_allclose(boxes[0], [-1, 1, 5, 3], atol=1e-5)
    assert predictor.task == "obb"
