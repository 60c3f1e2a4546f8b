"""The heads of the installed ultralytics, unpatched, exported as they are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
import torch
from keras_twin import BAR, draw

from synet.custom_patches import unpatch
from synet.layers.heads import PIXELS, find_head, head_form, run_network
from synet.layers.replace import replace_layers
from synet.quantize import to_keras

SHAPE = (97, 131)
PLAIN = ["x1y1", "x2y2", "scores"]
TOLD = [*PLAIN, "keypoints", "presence"]
POSE = {"nc": 1, "kpt_shape": (5, 3)}

CASES = {
    "Detect": ("Detect", {"nc": 3}, PLAIN),
    "YOLO26": ("Detect", {"nc": 3, "reg_max": 1, "end2end": True}, PLAIN),
    "v10Detect": ("v10Detect", {"nc": 3}, PLAIN),
    "Pose": ("Pose", POSE, TOLD),
    "Pose26": ("Pose26", {**POSE, "reg_max": 1, "end2end": True}, TOLD),
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


@pytest.mark.parametrize(
    ("case", "end2end"),
    [*((case, False) for case in CASES), ("YOLO26", True), ("v10Detect", True), ("Pose26", True)],
)
def test_the_export_is_what_the_head_decodes(theirs, case, end2end):
    """An end-to-end head as well, whose evaluation returns a few rows of its other branches."""
    model, outputs = network(theirs, case, end2end)
    x = draw(1, 1, *SHAPE, low=0, high=1)
    found = to_keras(model, SHAPE, 1)(x.permute(0, 2, 3, 1).numpy())
    wanted = run_network(model, x)
    assert list(found) == list(wanted) == outputs
    for name, values in wanted.items():
        unit = max(SHAPE) if name in PIXELS else 1
        assert values.std() / unit > 0.01
        np.testing.assert_allclose(
            np.asarray(found[name]) / unit, values / unit, rtol=0, atol=BAR, err_msg=name
        )


def test_a_fused_head_has_one_set_of_branches(theirs):
    model, outputs = network(theirs, "Pose26", end2end=True)
    head, form = find_head(model)
    head.fuse()
    assert form.boxes == "cv2" and find_head(model)[1].boxes == "one2one_cv2"
    x = draw(1, 1, *SHAPE, low=0, high=1)
    found = to_keras(model, SHAPE, 1)(x.permute(0, 2, 3, 1).numpy())
    for name, values in run_network(model, x).items():
        np.testing.assert_allclose(np.asarray(found[name]), values, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", ["Segment", "OBB"])
def test_heads_for_other_tasks_are_not_taken_for_detectors(theirs, name):
    head = getattr(theirs, name)(nc=3, ch=heads.CHANNELS)
    assert head_form(head) is None
