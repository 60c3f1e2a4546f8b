"""Which output of a file is which: by name, or by shape and content."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from few_outputs import FewOutputs
from vendors_files import vendors_file

from synet.detections.tflite_outputs import TfliteNetwork, UnknownOutputs, class_names
from synet.system.errors import SynetError
from synet.tflite.model import TfliteModel

IMAGE = np.zeros((8, 8, 3), np.uint8)
LOW = np.linspace(-9, 40, 8, dtype=np.float32).reshape(1, 4, 2)
HIGH = LOW + 7
TWO = np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 4, 2)
ONE = TWO[..., :1]
POINTS = np.linspace(0, 300, 24, dtype=np.float32).reshape(1, 4, 3, 2)
SEEN = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 4, 3, 1)
COEFFICIENTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 4, 2)
PROTOTYPES = np.zeros((1, 6, 7, 2), np.float32)


def test_named_outputs_in_any_order():
    """With two classes shape alone could not tell the scores from the corners."""
    outputs = dict(scores=TWO, x2y2=HIGH, x1y1=LOW, other=PROTOTYPES)
    network = TfliteNetwork(FewOutputs(outputs, {"names": {"0": "a", "1": "b"}}))
    found = network(IMAGE)
    assert (network.task, network.classes, network.names) == ("detect", 2, ("a", "b"))
    assert found.keys() == {"x1y1", "x2y2", "scores"}
    np.testing.assert_array_equal(found["x1y1"], LOW[0])
    np.testing.assert_array_equal(found["x2y2"], HIGH[0])


@pytest.mark.parametrize("presence", [True, False])
def test_named_keypoints(presence):
    outputs = dict(x1y1=LOW, x2y2=HIGH, scores=ONE, keypoints=POINTS.reshape(1, 4, 6))
    outputs |= {"presence": SEEN[..., 0]} if presence else {}
    network = TfliteNetwork(FewOutputs(outputs, {"task": "pose"}))
    assert (network.task, network.kpt_shape) == ("pose", (3, 3 if presence else 2))
    np.testing.assert_array_equal(network(IMAGE)["keypoints"], POINTS[0])


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("detect", {"x1y1": LOW, "x2y2": HIGH, "scores": ONE}),
        ("detect", {"x1y1": LOW, "x2y2": HIGH, "scores": TWO}),
        (
            "pose",
            {"x1y1": LOW, "x2y2": HIGH, "scores": ONE, "keypoints": POINTS, "presence": SEEN},
        ),
        (
            "segment",
            {
                "x1y1": LOW,
                "x2y2": HIGH,
                "scores": TWO,
                "coefficients": COEFFICIENTS,
                "prototypes": PROTOTYPES,
            },
        ),
    ],
)
def test_outputs_without_names_in_any_order(task, values):
    for order in itertools.islice(itertools.permutations(values), 0, None, 5):
        outputs = {f"output_{i}": values[role] for i, role in enumerate(order)}
        network = TfliteNetwork(FewOutputs(outputs))
        found = network(IMAGE)
        assert (network.task, network.names) == (task, None)
        assert found.keys() == values.keys()
        for role, value in values.items():
            np.testing.assert_array_equal(found[role].ravel(), value.ravel())


def test_a_classifier_without_names():
    network = TfliteNetwork(FewOutputs({"Identity": np.full((1, 7), 1 / 7, np.float32)}))
    assert (network.task, network.classes) == ("classify", 7)


@pytest.mark.parametrize(
    "outputs",
    [
        {"output_0": np.zeros((1, 84, 100))},  # boxes and scores in one
        {"output_0": LOW, "output_1": HIGH},
        {"output_0": LOW, "output_1": HIGH, "output_2": HIGH + 3},  # which two are the corners?
        {"output_0": LOW, "output_1": HIGH, "output_2": np.zeros((1, 9, 1))},
        {"output_0": LOW, "output_1": HIGH, "output_2": ONE, "output_3": ONE},
        {"x1y1": LOW, "x2y2": HIGH, "scores": np.zeros((1, 9, 2))},
    ],
)
def test_outputs_of_something_else(outputs):
    with pytest.raises(UnknownOutputs, match=r"odd.tflite: not a model with .*; found \w+ \(1, "):
        TfliteNetwork(FewOutputs(outputs))


def test_a_file_that_somebody_else_described_is_not_guessed_at():
    outputs = {"output_0": LOW, "output_1": HIGH, "output_2": ONE}
    TfliteNetwork(FewOutputs(outputs))
    with pytest.raises(UnknownOutputs):
        TfliteNetwork(FewOutputs(outputs, {"author": "another tool", "task": "detect"}))


def test_names_that_do_not_fit_the_scores():
    model = FewOutputs(dict(x1y1=LOW, x2y2=HIGH, scores=TWO), {"names": ["a", "b", "c"]})
    with pytest.raises(SynetError, match="scores 2 classes, but its metadata names 3"):
        TfliteNetwork(model)


def test_rotated_boxes_need_the_strides():
    outputs = dict(sides=np.ones((1, 4, 4)), angle=np.zeros((1, 4, 1)), scores=ONE)
    found = TfliteNetwork(FewOutputs(outputs, {"strides": [4]}))(IMAGE)
    np.testing.assert_allclose(found["rotated"][1], [6, 2, 2, 2, 0])  # the second cell of two
    with pytest.raises(SynetError, match="tells 4 rotated boxes, and the strides .* make 64 cells"):
        TfliteNetwork(FewOutputs(outputs))


def test_names_keep_the_order_of_their_numbers():
    names = {str(number): f"class {number}" for number in reversed(range(12))}
    assert class_names(names) == tuple(f"class {number}" for number in range(12))


@pytest.mark.parametrize(
    ("file", "task", "shape"),
    [
        ("person_detection_480x640", "detect", None),
        ("person_pose_detection_256x480", "pose", (17, 3)),
    ],
)
def test_the_vendors_files(shared, file, task, shape):
    path = vendors_file(shared, f"{file}.tflite")
    network = TfliteNetwork(TfliteModel(path))
    assert (network.task, network.kpt_shape, network.classes) == (task, shape, 1)
    noise = np.random.default_rng(0).integers(0, 256, (*network.image_shape, 3), np.uint8)
    found = network(noise)
    assert (found["x1y1"] < found["x2y2"]).all()
