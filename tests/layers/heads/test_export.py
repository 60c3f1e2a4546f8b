"""Exports of heads of every form against the decoding that comes with them."""

from __future__ import annotations

import numpy as np
import pytest
import small_heads as heads
import torch
from keras_twin import BAR, draw

from synet.errors import SynetError
from synet.export.tensorflow import convert
from synet.graph import read_graph
from synet.layers.heads import PIXELS, head_form, run_network
from synet.quantize import to_keras
from synet.tflite import TfliteModel

SHAPES = ((97, 131), (128, 64))
PLAIN = ("x1y1", "x2y2", "scores")
POINTS = (*PLAIN, "keypoints")

CASES = {
    "anchors": (heads.Anchors, {}, PLAIN),
    "one class": (heads.Anchors, {"nc": 1}, PLAIN),
    "anchors in pixels": (heads.Anchors, {"in_pixels": True}, PLAIN),
    "masks": (heads.Masks, {}, PLAIN),
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
}
TWICE = ("auxiliary", "dual")  # maps


def build(case):
    kind, options, names = CASES[case]
    torch.manual_seed(1)
    return heads.network(kind(**options), 4 if case in TWICE else 2), names


def image(shape, seed=0):
    return draw(1, 1, *shape, low=0, high=1, seed=seed)


def assert_export(network, names, shape, bar=BAR):
    """Keras gives the named outputs, with the numbers that the head's own decoding gives."""
    x = image(shape)
    found = to_keras(network, shape, 1)(x.permute(0, 2, 3, 1).numpy())
    wanted = run_network(network, x)
    assert list(found) == list(wanted) == list(names)
    for name, values in wanted.items():
        unit = max(shape) if name in PIXELS else 1
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
    cells = sum(-(-shape[0] // s) * -(-shape[1] // s) for s in (8, 16))
    rows = cells * getattr(head, "na", 1)
    assert wanted["scores"].shape == (1, rows, head.nc)
    assert wanted["x1y1"].min() == 0  # clipped to the longer side, and not all of it
    for name in ("x1y1", "x2y2"):
        assert wanted[name].shape == (1, rows, 2)
        assert 0 <= wanted[name].min() <= wanted[name].max() <= max(shape)
        assert ((wanted[name] > 0) & (wanted[name] < max(shape))).float().mean() > 0.1
    assert wanted["scores"].std() > 0.05
    if "keypoints" in wanted:
        count = 4 if case == "pose without presence" else 5
        assert wanted["keypoints"].shape == (1, rows, 2 * count)
    if "angles" in wanted:
        assert wanted["angles"].shape == (1, rows, 180)


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


RUNS = {"CONV_2D", "SOFTMAX", "RESHAPE", "ADD", "MUL", "LOGISTIC", "CONCATENATION", "QUANTIZE"}


@pytest.mark.parametrize(
    "case", ["keypoints", "face", "rotated", "groups", "no bins", "pose", "pose of two parts"]
)
def test_int8_on_operations_that_simple_chips_run(case):
    network, names = build(case)
    shape, images = SHAPES[0], [image(SHAPES[0], seed)[0].permute(1, 2, 0) for seed in range(4)]
    content = convert(to_keras(network, shape, 1), lambda: (x.numpy() for x in images))
    assert {operator.name for operator in read_graph(content).operators} <= RUNS
    model = TfliteModel(content)
    ports = {port.name: port for port in model.outputs}
    assert set(ports) == set(names)
    found, wanted = (
        model.run(images[0].numpy()),
        run_network(network, images[0].permute(2, 0, 1)[None]),
    )
    for name, values in wanted.items():
        unit = max(shape) if name in PIXELS else 1
        assert np.abs(found[name] - values.numpy()).mean() / unit < 0.01, name
        assert ports[name].scale <= 1.01 * unit / 255, name  # each output has a scale of its own


@pytest.mark.parametrize("case", ["anchors", "distances", "dual"])
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
