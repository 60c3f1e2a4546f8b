"""The heads of the installed ultralytics, unpatched, exported as they are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
import torch
from keras_twin import BAR, draw

from synet.custom_patches import unpatch
from synet.export.convert import to_keras
from synet.layers.heads import PIXELS, find_head, run_network
from synet.rotated import cell_centres, rotated_boxes
from synet.safety.replace_by_type import replace_layers

SHAPE = (241, 323)
EVEN = (128, 96)  # what is refined from coarser maps has to be twice as large as they are
PLAIN = ["x1y1", "x2y2", "scores"]
TOLD = [*PLAIN, "keypoints", "presence"]
MASKS = [*PLAIN, "coefficients", "prototypes"]
ROTATED = ["sides", "scores", "angle"]
POSE = {"nc": 1, "kpt_shape": (5, 3)}
END = {"reg_max": 1, "end2end": True}

CASES = {
    "Detect": ("Detect", {"nc": 3}, PLAIN),
    "YOLO26": ("Detect", {"nc": 3, **END}, PLAIN),
    "v10Detect": ("v10Detect", {"nc": 3}, PLAIN),
    "Pose": ("Pose", POSE, TOLD),
    "Pose without presence": ("Pose", {"nc": 1, "kpt_shape": (4, 2)}, TOLD[:-1]),
    "Pose26": ("Pose26", {**POSE, **END}, TOLD),
    "Segment": ("Segment", {"nc": 3, "nm": 5, "npr": 8}, MASKS),
    "Segment26": ("Segment26", {"nc": 3, "nm": 5, "npr": 8, **END}, MASKS),
    "OBB": ("OBB", {"nc": 3}, ROTATED),
    "OBB26": ("OBB26", {"nc": 3, **END}, ROTATED),
}


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("ultralytics")
    unpatch()
    from ultralytics.nn.modules import head

    return head


def network(theirs, case, end2end=False):
    name, options, outputs = CASES[case]
    torch.manual_seed(0)
    head = getattr(theirs, name)(ch=heads.CHANNELS, **options)
    head.stride = torch.tensor(heads.STRIDES)
    if end2end:
        head.end2end = True
    replace_layers(head)  # the activations of its branches
    return heads.network(head), outputs


def assert_export(model, outputs, shape):
    x = draw(1, 1, *shape, low=0, high=1)
    found = to_keras(model, shape, 1)(x.permute(0, 2, 3, 1).numpy())
    wanted = run_network(model, x)
    assert list(found) == list(wanted) == outputs
    for name, values in wanted.items():
        unit = max(shape) if name in PIXELS else max(1.0, float(values.abs().max()))
        assert values.std() / unit > 0.01
        np.testing.assert_allclose(
            np.asarray(found[name]) / unit, values / unit, rtol=0, atol=BAR, err_msg=name
        )
    return {name: np.asarray(values) for name, values in found.items()}, x


@pytest.mark.parametrize(
    ("case", "end2end"),
    [
        *((case, False) for case in CASES),
        *((case, True) for case in CASES if case.endswith("26") or case == "v10Detect"),
    ],
)
def test_the_export_is_what_the_head_decodes(theirs, case, end2end):
    """An end-to-end head as well, whose evaluation returns a few rows of its other branches."""
    model, outputs = network(theirs, case, end2end)
    assert_export(model, outputs, EVEN if case == "Segment26" else SHAPE)
    head, form = find_head(model)
    told = form.note(head)
    assert ("one-to-many branch is exported" in told) == (
        "one2one_cv2" in dict(head.named_children())
    )
    assert "\n" not in told


def test_probabilities(theirs):
    torch.manual_seed(0)
    head = theirs.Classify(heads.CHANNELS[0], 7)
    head.nc, head.stride = 7, torch.ones(1)
    replace_layers(head)
    assert_export(heads.network(head, 1), ["probabilities"], SHAPE)


@pytest.mark.parametrize("case", ["OBB", "OBB26"])
def test_rotated_boxes_are_what_the_application_makes_of_sides_and_angle(theirs, case):
    model, outputs = network(theirs, case)
    found, x = assert_export(model, outputs, SHAPE)
    with torch.no_grad():
        rows = model(x)[0][0].T
    centres = cell_centres(SHAPE, heads.STRIDES)
    boxes = rotated_boxes(found["sides"][0], found["angle"][0], centres)
    np.testing.assert_allclose(boxes[:, :4], rows[:, :4], rtol=0, atol=BAR * max(SHAPE))
    np.testing.assert_allclose(boxes[:, 4], rows[:, -1], rtol=0, atol=BAR)
    beyond = (centres - found["sides"][0][:, :2]).min() < 0  # before they are rotated
    assert beyond


def test_a_fused_head_has_one_set_of_branches(theirs):
    model, outputs = network(theirs, "Pose26", end2end=True)
    head, form = find_head(model)
    head.fuse()
    assert form.boxes == "cv2" and find_head(model)[1].boxes == "one2one_cv2"
    assert "only its one-to-one branch left" in find_head(model)[1].note(head)
    x = draw(1, 1, *SHAPE, low=0, high=1)
    found = to_keras(model, SHAPE, 1)(x.permute(0, 2, 3, 1).numpy())
    for name, values in run_network(model, x).items():
        np.testing.assert_allclose(np.asarray(found[name]), values, rtol=1e-4, atol=1e-2)
