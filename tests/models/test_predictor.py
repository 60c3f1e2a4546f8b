"""Torch and TFLite detectors behind one interface."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
import tiny_files
import tiny_ultralytics
import torch
from few_outputs import FewOutputs
from keras_twin import keras_runner
from vendors_files import vendors_file

from synet.custom_patches import unpatch
from synet.data.drawn_shapes import NAMES
from synet.data.images import letterbox
from synet.data.yolo_yaml import load_dataset, read_image
from synet.evaluation.found import ground_truth
from synet.export.convert import image_channels, to_keras
from synet.models.detect import detect, fit
from synet.models.predictor import load_predictor, require_torch
from synet.models.tflite_predictor import TflitePredictor
from synet.models.torch_predictor import TorchPredictor
from synet.system.errors import SynetError


@pytest.fixture(scope="module", autouse=True)
def patched():
    yield
    unpatch()


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
    found = predictor.outputs(image)
    np.testing.assert_allclose(found["x1y1"], [[40, 35], [0, 0]])
    np.testing.assert_allclose(found["x2y2"], [[60, 45], [16, 16]])
    np.testing.assert_allclose(found["scores"], [[0.125, 0.5], [0, 0.5]])
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    assert not network.training
    np.testing.assert_allclose(network.seen[0].numpy(), image.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("head", [heads.Face, heads.Dual, heads.Picked, heads.Pose])
def test_any_head_and_its_tflite_twin_find_the_same(head):
    network = heads.network(head(nc=2), 4 if head is heads.Dual else 2)
    predictor = TorchPredictor(network, (64, 96))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 1), np.uint8)
    found = predictor.outputs(image)
    twin = keras_runner(to_keras(network, (64, 96), 1))(image.astype(np.float32) / 255)
    np.testing.assert_allclose(found["x1y1"], twin["x1y1"][0], rtol=0, atol=1e-2)
    np.testing.assert_allclose(found["x2y2"], twin["x2y2"][0], rtol=0, atol=1e-2)
    np.testing.assert_allclose(found["scores"], twin["scores"][0], rtol=0, atol=1e-4)


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
        predictor.outputs(np.zeros((8, 8, 3), np.uint8))
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
    return vendors_file(shared, f"{request.param}.tflite")


def test_vendor_models_find_the_people(vendor_model, shared):
    """Their outputs have no names, and the pose model has keypoints besides."""
    predictor = load_predictor(vendor_model)
    height, width = predictor.image_shape
    assert f"{height}x{width}" in vendor_model.stem
    assert (predictor.channels, predictor.names) == (3, ("0",))
    turned = f"the image shape {width} {height} is its own turned.*--image-shape {height} {width}"
    with pytest.raises(SynetError, match=turned):
        load_predictor(vendor_model, (width, height))

    dataset = load_dataset(shared / "data" / "coco128" / "coco128.yaml")
    (path,) = [image for image in dataset.images("val") if image.stem == "000000000885"]
    image = read_image(path)
    (truth,) = ground_truth(dataset, [path])
    people = truth.boxes[truth.classes == 0]
    best = detect(predictor, image, 0.5, 0.5).boxes[0]
    assert np.abs(people - best).max(axis=1).min() < 20  # pixels of a 640 pixel wide image

    found = predictor.outputs(letterbox(image, predictor.image_shape)[0])
    scores = found["scores"]
    assert len(found["x1y1"]) == len(scores) > 500
    assert (found["x1y1"] <= found["x2y2"]).all()
    assert 0 <= scores.min() <= scores.max() <= 1


def test_a_classifier_is_loaded_for_those_who_ask():
    classifier = tiny_files.checkpoint("classify")
    with pytest.raises(SynetError, match="tiny.*: is a classifier, and finds no boxes; `synet"):
        load_predictor(classifier)
    predictor = load_predictor(classifier, classifiers=True)
    assert (predictor.task, predictor.names) == ("classify", NAMES)
    wide = np.zeros((32, 96, 3), np.uint8)
    pixels, placement = fit(predictor, wide)
    assert pixels.shape == (*tiny_ultralytics.SHAPE, 3) and placement is None
    assert not pixels.any()  # no grey beside it: the image fills the input
    (told,) = predictor.outputs(pixels).values()
    assert told.shape == (len(NAMES),) and told.sum() == pytest.approx(1, abs=1e-5)


def test_a_shape_that_is_turned_is_no_shape_of_the_model():
    checkpoint, (height, width) = tiny_files.checkpoint("detect"), tiny_ultralytics.SHAPE
    with pytest.raises(SynetError, match=f"{width} {height} is its own turned; height comes first"):
        load_predictor(checkpoint, (width, height))
    assert load_predictor(checkpoint, (height, 2 * width)).image_shape == (height, 2 * width)


def test_a_classifier_as_a_file():
    model = FewOutputs({"probabilities": np.float32([[0.25, 0.75]])})
    predictor = TflitePredictor(model)
    assert predictor.task == "classify"
    (told,) = predictor.outputs(np.zeros((8, 8, 3), np.uint8)).values()
    assert told.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("head", "task", "role"),
    [
        *((heads.Anchors, "detect", "scores"), (heads.Picked, "detect", "scores")),
        *((heads.Face, "pose", "keypoints"), (heads.Pose, "pose", "presence")),
        *((heads.Segment, "segment", "prototypes"), (heads.Rotated8, "obb", "rotated")),
        (heads.Classify, "classify", "probabilities"),
    ],
)
def test_the_task_is_known_before_it_runs(head, task, role):
    network = heads.network(head(nc=2), 1 if head is heads.Classify else 2)
    predictor = TorchPredictor(network, (64, 96))
    assert predictor.task == task
    assert role in predictor.outputs(np.zeros((64, 96, 1), np.uint8))


def test_network_alone():
    network = Rows(ROW)
    place, run, read = TorchPredictor(network, (8, 8)).stages
    pixels = place(np.full((8, 8, 3), 51, np.uint8))
    assert not hasattr(network, "seen")
    told = run(pixels)
    np.testing.assert_allclose(network.seen, 0.2)
    assert {"x1y1", "x2y2", "scores"} == {*read(told)}


# --- several images in one run --------------------------------------------------------------------

HEADS = (
    *(heads.Anchors, heads.Face, heads.Picked, heads.Pose, heads.Segment, heads.Rotated8),
    heads.Classify,
)


@pytest.mark.parametrize("head", HEADS)
def test_images_of_one_run_are_told_apart(head):
    network = heads.network(head(nc=2), 1 if head is heads.Classify else 2)
    predictor = TorchPredictor(network, (64, 96), batch=3)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 1), np.uint8)
    images[1] //= 4
    together = predictor.outputs_of(images)
    alone = [predictor.outputs(image) for image in images]
    assert len(together) == len(images)
    for found, expected in zip(together, alone, strict=True):
        assert {*found} == {*expected}
        for role, values in expected.items():
            near = 1e-5 * max(1, np.abs(values).max())
            np.testing.assert_allclose(found[role], values, rtol=0, atol=near)
    first, second, _ = (np.concatenate([*map(np.ravel, each.values())]) for each in alone)
    assert np.abs(first - second).max() > 1e-3  # or this would say nothing


def test_a_network_that_answers_one_image_of_several():
    predictor = TorchPredictor(Rows(ROW), (8, 8), "odd.pt", batch=2)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(SynetError, match=r"^odd.pt: answers 1 of 2 images .*do without --batch$"):
        predictor.outputs_of(images)
    assert len(predictor.outputs_of(images[:1])) == 1


@pytest.mark.parametrize("empty", [torch.empty, np.empty])
def test_more_images_than_there_is_memory_for(empty):
    class Hungry(Rows):
        def forward(self, image):
            empty(1 << (52 if len(image) > 1 else 2))
            return super().forward(image)

    predictor = TorchPredictor(Hungry(ROW), (8, 8), "hungry.pt", batch=2)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(SynetError, match=r"no memory for 2 images of 8x8 .*a smaller --batch$"):
        predictor.outputs_of(images)
    assert predictor.outputs_of(images[:1])


def test_a_file_takes_one_image_in_a_run():
    model = FewOutputs({"probabilities": np.float32([[0.25, 0.75]])})
    predictor = TflitePredictor(model)
    assert predictor.batch == 1
    assert len(predictor.outputs_of(np.zeros((2, 8, 8, 3), np.uint8))) == 2


def test_what_is_asked_of_torch_alone_is_not_ignored():
    for asked in ({"batch": 8}, {"device": "0"}, {"device": "cuda", "batch": 1}):
        with pytest.raises(SynetError, match=r"^--(batch 8|device \w+): is of a .pt checkpoint"):
            require_torch(["a.tflite", None, "b.tflite"], **asked)
    require_torch(["a.tflite"], "cpu")  # where it runs in any case
    require_torch(["a.tflite", "b.pt"], batch=8)
    for device in ("99", "meta", "hpu", "0,1", "a\nb"):
        with pytest.raises(SynetError, match=f"^--device {device}: torch has none such"):
            require_torch(["a.tflite", "b.pt"], device)
    with pytest.raises(SynetError, match="^batch: 0 is not at least 1$"):
        load_predictor("a.pt", batch=0)


def test_a_checkpoint_runs_where_it_is_told_to():
    path = tiny_files.checkpoint("detect")
    image = np.zeros((*load_predictor(path).image_shape, 3), np.uint8)
    expected, found = (load_predictor(path, device=each).outputs(image) for each in ("", "cpu"))
    for role, values in expected.items():
        np.testing.assert_array_equal(found[role], values)
    for device in ("nowhere", "cuda:99", "99"):
        with pytest.raises(SynetError, match=f"^--device {device}: torch has none") as caught:
            load_predictor(path, device=device)
        assert "\n" not in str(caught.value)
