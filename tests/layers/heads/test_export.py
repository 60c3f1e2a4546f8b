"""Exports of heads of every form against the decoding that comes with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_heads as heads
import torch
from keras_twin import BAR, draw
from micro_twin import assert_same_in_micro, needs_micro

from synet.chips.known import common_spelling
from synet.export.context import Context
from synet.export.convert import to_keras
from synet.export.tensorflow import to_float, to_int8
from synet.layers.heads import PIXELS, head_form, run_network
from synet.layers.heads.form import CLIPPED
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph
from synet.tflite.model import TfliteModel

SHAPES = ((97, 131), (128, 64))
PLAIN = ("x1y1", "x2y2", "scores")
POINTS = (*PLAIN, "keypoints")
MASKS = (*PLAIN, "coefficients", "prototypes")
ROTATED = ("sides", "scores", "angle")

CASES = {
    "anchors": (heads.Anchors, {}, PLAIN),
    "one class": (heads.Anchors, {"nc": 1}, PLAIN),
    "anchors in pixels": (heads.Anchors, {"in_pixels": True}, PLAIN),
    "masks": (heads.Masks, {}, MASKS),
    "face": (heads.Face, {"in_pixels": True}, POINTS),
    "rotated": (heads.Rotated, {}, (*PLAIN, "angles")),
    "implicit": (heads.WithImplicit, {}, PLAIN),
    "auxiliary": (heads.Auxiliary, {}, PLAIN),
    "keypoints": (heads.Keypoints, {}, (*POINTS, "presence")),
    "deep keypoints": (heads.Keypoints, {"deep": True}, (*POINTS, "presence")),
    "distances": (heads.Distances, {}, PLAIN),
    "few bins": (heads.Distances, {"reg_max": 5}, PLAIN),
    "no bins": (heads.Distances, {"reg_max": 1}, PLAIN),
    "groups": (heads.Distances, {"groups": 4}, PLAIN),
    "dual": (heads.Dual, {}, PLAIN),
    "end to end": (heads.EndToEnd, {}, PLAIN),
    "picked": (heads.Picked, {"reg_max": 1}, PLAIN),
    "pose": (heads.Pose, {}, (*POINTS, "presence")),
    "pose without presence": (heads.Pose, {"kpt_shape": (4, 2)}, POINTS),
    "pose of two parts": (heads.Pose26, {}, (*POINTS, "presence")),
    "segment": (heads.Segment, {}, MASKS),
    "rotated boxes": (heads.Rotated8, {}, ROTATED),
    "rotated boxes without bins": (heads.Rotated8, {"reg_max": 1, "raw": True}, ROTATED),
    "classify": (heads.Classify, {}, ("probabilities",)),
    "classify without softmax": (heads.Classify, {"logits": True}, ("probabilities",)),
}
SLOW = pytest.mark.slow
TWICE = ("auxiliary", "dual")  # maps


def build(case):
    kind, options, names = CASES[case]
    torch.manual_seed(1)
    inputs = 4 if case in TWICE else 1 if kind is heads.Classify else 2
    return heads.network(kind(**options), inputs), names


def image(shape, seed=0):
    return draw(1, 1, *shape, low=0, high=1, seed=seed)


def assert_export(network, names, shape, bar=BAR):
    """Keras gives the named outputs, with the numbers that the head's own decoding gives."""
    x = image(shape)
    found = to_keras(network, shape, 1)(x.permute(0, 2, 3, 1).numpy())
    wanted = run_network(network, x)
    assert list(found) == list(wanted) == list(names)
    for name, values in wanted.items():
        unit = max(shape) if name in PIXELS else max(1.0, float(values.abs().max()))
        assert tuple(found[name].shape) == tuple(values.shape)
        np.testing.assert_allclose(
            np.asarray(found[name]) / unit, values / unit, rtol=0, atol=bar, err_msg=name
        )
    return wanted


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_export_is_what_the_head_decodes(case, shape):
    network, names = build(case)
    wanted = assert_export(network, names, shape)
    head = network.model[-1]
    if "probabilities" in wanted:
        assert wanted["probabilities"].shape == (1, head.nc)
        assert wanted["probabilities"].sum() == pytest.approx(1)
        return
    cells = sum(-(-shape[0] // s) * -(-shape[1] // s) for s in (8, 16))
    rows = cells * getattr(head, "na", 1)
    assert wanted["scores"].shape == (1, rows, head.nc)
    assert wanted["scores"].std() > 0.05
    if "sides" in wanted:  # of boxes that reach beyond the image, too
        assert wanted["sides"].shape == (1, rows, 4) and wanted["angle"].shape == (1, rows, 1)
        assert wanted["angle"].std() > 0.1
        return
    assert wanted["x1y1"].min() == 0  # clipped to the longer side, and not all of it
    for name in ("x1y1", "x2y2"):
        assert wanted[name].shape == (1, rows, 2)
        assert 0 <= wanted[name].min() <= wanted[name].max() <= max(shape)
        assert ((wanted[name] > 0) & (wanted[name] < max(shape))).float().mean() > 0.1
    if "keypoints" in wanted:
        count = 4 if case == "pose without presence" else 5
        assert wanted["keypoints"].shape == (1, rows, 2 * count)
    if "angles" in wanted:
        assert wanted["angles"].shape == (1, rows, 180)
    if "prototypes" in wanted:
        assert wanted["coefficients"].shape == (1, rows, head.nm)
        finest = [-(-side // 8) for side in shape]
        assert wanted["prototypes"].shape == (1, 2 * finest[0], 2 * finest[1], head.nm)


@pytest.mark.parametrize("case", ["implicit", "auxiliary"])
def test_what_a_fork_has_folded_is_not_folded_again(case):
    network, names = build(case)
    before = assert_export(network, names, SHAPES[0])
    network.model[-1].fuse()
    after = assert_export(network, names, SHAPES[0])
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=1e-3)
    assert network.model[-1].forward == network.model[-1].fuseforward


@pytest.mark.parametrize("in_pixels", [True, False])
def test_anchors_come_from_where_the_head_has_them(in_pixels):
    """After a refit to the data, only one of the two is used by the head's own decoding."""
    network = heads.network(heads.Face(in_pixels=in_pixels))
    head = network.model[-1]
    if in_pixels:
        head.anchor_grid *= 0.5
    else:
        head.anchors *= 0.5
    assert_export(network, POINTS, SHAPES[0])


@pytest.mark.parametrize("missing", ["one2many", "one2one"])
def test_a_set_of_branches_that_was_dropped(missing):
    """The export takes the other one."""
    network = heads.network(heads.Picked(reg_max=1))
    head = network.model[-1]
    if missing == "one2one":
        head.one2one_cv2 = head.one2one_cv3 = None
        head.end2end = False
        head.forward = lambda x: (head.decode(raw := head.raw(x, head.cv2, head.cv3)), raw)
    else:
        head.cv2 = head.cv3 = None
        raw = lambda x: {"one2one": head.raw(x, head.one2one_cv2, head.one2one_cv3)}  # noqa: E731
        head.forward = lambda x: (torch.zeros(1, 300, 6), raw(x))
    assert_export(network, PLAIN, SHAPES[0])


def test_bins_go_through_softmax_in_bands(monkeypatch):
    """A compiler computes it in int32: of a large map, all cells at once would need the most."""
    network, names = build("distances")
    monkeypatch.setattr(Context, "spelling", replace(common_spelling(), softmax_rows=50))
    assert_export(network, names, SHAPES[0])
    graph = read_graph(
        to_int8(to_float(to_keras(network, SHAPES[0], 1)), lambda: [np.ones((97, 131, 1), "f")])
    )
    sizes = [graph.tensors[op.outputs[0]].shape for op in graph.operators if op.name == "SOFTMAX"]
    assert len(sizes) == 4 * (7 + 2)  # sides; bands of two rows of 17, and of five of 9
    assert max(height * width for _, height, width, _ in sizes) <= 50


def test_an_angle_of_another_kind(monkeypatch):
    network, _ = build("rotated boxes")
    monkeypatch.setattr(heads.Rotated8, "forward", lambda self, x: torch.zeros(1, 1, 4))
    with pytest.raises(SynetError, match="Rotated8 tells the angle in a way of its own"):
        to_keras(network, SHAPES[0], 1)


RUNS = {"CONV_2D", "SOFTMAX", "RESHAPE", "ADD", "MUL", "LOGISTIC", "CONCATENATION", "QUANTIZE"}
MORE = {"segment": {"TRANSPOSE_CONV"}, "classify": {"DEPTHWISE_CONV_2D"}}


def to_int8_file(network, images):
    shape = tuple(images[0].shape[:2])
    return to_int8(to_float(to_keras(network, shape, 1)), lambda: (x.numpy() for x in images))


INT8 = (
    *("keypoints", "face", "rotated", "groups", "no bins", "pose", "pose of two parts"),
    *("segment", "rotated boxes", "classify"),
)


@pytest.mark.parametrize("case", INT8)
def test_int8_on_operations_that_simple_chips_run(case):
    network, names = build(case)
    shape, images = SHAPES[0], [image(SHAPES[0], seed)[0].permute(1, 2, 0) for seed in range(4)]
    content = to_int8_file(network, images)
    runs = RUNS | MORE.get(case, set())
    assert {operator.name for operator in read_graph(content).operators} <= runs
    model = TfliteModel(content)
    ports = {port.name: port for port in model.outputs}
    assert set(ports) == set(names)
    found, wanted = (
        model.run(images[0].numpy()),
        run_network(network, images[0].permute(2, 0, 1)[None]),
    )
    for name, values in wanted.items():
        unit = max(shape) if name in CLIPPED else max(1.0, float(np.ptp(values)))
        bar = 0.02 if name in ("probabilities", "angle") else 0.01  # of logits that are far apart
        assert np.abs(found[name] - values.numpy()).mean() / unit < bar, name
        assert ports[name].scale <= 1.3 * unit / 255, name  # each output has a scale of its own
    assert_same_in_micro(content)


@needs_micro
@pytest.mark.parametrize(
    "case",
    [
        case if case in ("anchors", "masks", "distances") else pytest.param(case, marks=SLOW)
        for case in CASES
        if case not in INT8
    ],
)
def test_every_other_head_in_tflite_micro(case):
    network, _ = build(case)
    images = [image(SHAPES[1], seed)[0].permute(1, 2, 0) for seed in range(2)]
    assert_same_in_micro(to_int8_file(network, images))


@pytest.mark.parametrize("case", ["anchors", "distances", "dual", "segment", "rotated boxes"])
def test_rows_that_a_head_of_this_kind_does_not_return(case):
    network, _ = build(case)
    head = network.model[-1]
    form = head_form(head)
    for output in (
        torch.zeros(1, 9, 99),
        (torch.zeros(1, 99, 9), []),
        [],
        {},
        None,
        torch.zeros(2),
    ):
        with pytest.raises(SynetError, match="returned .* expect"):
            form.as_exported(head, output, SHAPES[0])


@pytest.mark.parametrize("case", ["masks", "segment", "classify"])
def test_outputs_that_a_head_of_this_kind_does_not_return(case):
    network, _ = build(case)
    head = network.model[-1]
    rows = torch.zeros(1, 9, 12) if case == "masks" else torch.zeros(1, 11, 9)
    for output in (rows, (rows, torch.zeros(1, 5, 8, 8))):
        with pytest.raises(SynetError, match="returned no .* in a way of its own"):
            head_form(head).as_exported(head, output, SHAPES[0])
