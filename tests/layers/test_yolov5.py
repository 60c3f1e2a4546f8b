"""Our detection head against that of the installed yolov5 package."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import stock_yolov5
import torch
from keras_twin import BAR, draw, to_keras
from torch import nn

from synet.base import askeras
from synet.export.tensorflow import import_keras
from synet.layers import Detect
from synet.layers.heads import head_form
from synet.layers.heads.form import origins

ANCHORS = [
    [10, 13, 16, 30, 33, 23],
    [30, 61, 62, 45, 59, 119],
    [116, 90, 156, 198, 373, 326],
]
CHANNELS, STRIDES = (8, 12, 16), (8.0, 16.0, 32.0)
CLASSES = 3
SHAPES = ((96, 128), (128, 64), (97, 131))


def ready(head, strides=STRIDES):
    """As the model leaves it that holds it: strides known, anchors in strides, eval mode."""
    torch.manual_seed(1)
    for conv in head.m:
        nn.init.normal_(conv.weight, std=0.4)
        nn.init.normal_(conv.bias)
    head.stride = torch.tensor(strides)
    head.anchors /= head.stride.view(-1, 1, 1).to(head.anchors)
    return head.eval()


def pair():
    """The package's head and ours, with the same weights."""
    stock = ready(stock_yolov5.yolo().Detect(CLASSES, ANCHORS, CHANNELS))
    ours = ready(Detect(CLASSES, ANCHORS, CHANNELS))
    ours.load_state_dict(stock.state_dict())
    return stock, ours


def maps(shape, batch=1, channels=CHANNELS):
    """Feature maps at each stride."""
    sizes = [[-(-n // int(stride)) for n in shape] for stride in STRIDES]
    return [draw(batch, c, *size) for c, size in zip(channels, sizes, strict=True)]


def feed(head, levels):
    return head([level.clone() for level in levels])  # the package's head overwrites its list


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)  # pixels


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_are_those_of_the_package(shape):
    stock, ours = pair()
    levels = maps(shape, batch=2)
    (expected, raw), (found, own) = feed(stock, levels), feed(ours, levels)
    close(found, expected)
    for a, b in zip(raw, own, strict=True):
        assert torch.equal(a, b)


def test_the_grid_follows_the_image():
    stock, ours = pair()
    for shape in (SHAPES[0], SHAPES[1], SHAPES[0]):
        close(feed(ours, maps(shape))[0], feed(stock, maps(shape))[0])


@pytest.mark.parametrize("name", ["dynamic", "export"])
def test_the_flags_that_forks_set(name):
    stock, ours = pair()
    for head in (stock, ours):
        setattr(head, name, True)
    expected, found = feed(stock, maps(SHAPES[0])), feed(ours, maps(SHAPES[0]))
    assert len(found) == len(expected) == (1 if name == "export" else 2)
    close(found[0], expected[0])


def test_training_gives_raw_values():
    stock, ours = pair()
    levels = maps(SHAPES[0], batch=2)
    expected, found = feed(stock.train(), levels), feed(ours.train(), levels)
    assert [tuple(x.shape) for x in found] == [
        *((2, 3, 12, 16, 8), (2, 3, 6, 8, 8), (2, 3, 3, 4, 8))
    ]
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


def test_the_same_attributes_and_weights():
    stock, ours = pair()
    assert set(stock.__dict__) <= set(ours.__dict__)
    for name in ("nc", "no", "nl", "na", "inplace", "export", "dynamic"):
        assert getattr(stock, name) == getattr(ours, name)
    assert list(stock.state_dict()) == list(ours.state_dict())
    assert [n for n, _ in ours.named_buffers()] == ["anchors"]


def test_it_is_pickled_and_copied():
    _, ours = pair()
    expected = feed(ours, maps(SHAPES[0]))[0]
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(feed(twin, maps(SHAPES[0]))[0], expected)


# --- what is exported -------------------------------------------------------------------------


def exported(head, shape, channels=CHANNELS):
    """Outputs of the Keras head, by name."""
    keras, levels = import_keras(), maps(shape, channels=channels)
    inputs = [keras.Input(to_keras(x).shape[1:], batch_size=1) for x in levels]
    with askeras():
        model = keras.Model(inputs, head(inputs))
    return {k: np.asarray(v) for k, v in model([to_keras(x) for x in levels]).items()}


def expected(head, shape, channels=CHANNELS):
    head = copy.deepcopy(head).double()
    head.stride = head.stride.double()
    with torch.no_grad():
        return evaluated(head, [x.double() for x in maps(shape, channels=channels)])


def evaluated(head, levels):
    """What an evaluation returns, in the form of the export."""
    covered = [n * int(STRIDES[0]) for n in levels[0].shape[2:]]  # a head alone sees no image
    outputs = head_form(head).as_exported(head, feed(head, levels), covered)
    return {k: v.detach().numpy() for k, v in outputs.items()}


def assert_agree(found, wanted, shape):
    assert list(found) == list(wanted) == ["x1y1", "x2y2", "scores"]
    for name, values in wanted.items():
        unit = 1 if name == "scores" else max(shape)
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name] / unit, values / unit, rtol=0, atol=BAR)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_export_is_what_torch_computes(shape):
    head = ready(Detect(CLASSES, ANCHORS, CHANNELS))
    found = exported(head, shape)
    rows = sum(3 * -(-shape[0] // s) * -(-shape[1] // s) for s in (8, 16, 32))
    assert {name: x.shape for name, x in found.items()} == {
        "x1y1": (1, rows, 2),
        "x2y2": (1, rows, 2),
        "scores": (1, rows, CLASSES),
    }
    assert_agree(found, expected(head, shape), shape)


def test_a_head_of_one_level():
    head = ready(Detect(1, ANCHORS[:1], CHANNELS[:1]), STRIDES[:1])
    keras, x = import_keras(), draw(1, 8, 12, 16)
    inp = keras.Input((12, 16, 8), batch_size=1)
    with askeras():
        model = keras.Model(inp, head([inp]))
    found = {k: np.asarray(v) for k, v in model(to_keras(x)).items()}
    assert_agree(found, evaluated(head, [x]), (96, 128))


def test_boxes_are_clipped_to_the_longer_side():
    head = ready(Detect(CLASSES, ANCHORS, CHANNELS))
    found = exported(head, (96, 128))
    for name in ("x1y1", "x2y2"):
        assert found[name].min() == 0
        assert found[name].max() == pytest.approx(128)


def test_rows_are_those_of_an_evaluation():
    head = ready(Detect(CLASSES, ANCHORS, CHANNELS))
    predictions, raw = feed(head, maps((96, 128)))
    out = head_form(head).as_exported(head, (predictions, raw), (96, 128))
    torch.testing.assert_close(out["scores"], predictions[..., 4:5] * predictions[..., 5:])
    corners = predictions[..., :2] - predictions[..., 2:4] / 2
    inside = ((corners > 0) & (corners < 128)).all(-1)
    assert inside.any()
    torch.testing.assert_close(out["x1y1"][inside], corners[inside])


def test_exporting_leaves_the_head_as_it_was():
    head = ready(Detect(CLASSES, ANCHORS, CHANNELS))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    exported(head, SHAPES[0])
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())
    assert head.grid[0].numel() == 0


@pytest.mark.parametrize("size", [(3, 4), (30, 40), (60, 80), (61, 81), (1, 1), (1, 90)])
@pytest.mark.parametrize("stride", (8.0, 16.0))
def test_cell_origins_are_exact_as_two_int8_constants(size, stride):
    unit = 6 / (max(size) * stride)
    coarse, fine = (c.double().numpy() for c in origins(size, -0.5, stride, unit))
    y, x = np.mgrid[: size[0], : size[1]]
    origin = (np.stack((x, y)).reshape(1, 2, 1, -1) - 0.5) * stride * unit
    np.testing.assert_allclose(coarse + fine, origin, atol=1e-6)
    step = max(np.ptp(origin), stride * unit) / 255
    assert np.abs(coarse / step - np.round(coarse / step)).max() < 1e-3
    assert np.ptp(coarse) <= 255.001 * step
    assert np.abs(fine).max() <= step / 2 * 1.001


# --- segmentation: mask coefficients behind the classes ---------------------------------------

MASKS = 4


def widened(head):
    """A head with mask coefficients, as YOLOv5's Segment makes itself one."""
    head.nm, head.no = MASKS, 5 + head.nc + MASKS
    head.m = nn.ModuleList(nn.Conv2d(c, head.no * head.na, 1) for c in CHANNELS)
    return ready(head)


def test_mask_coefficients_stay_raw():
    stock = ready(stock_yolov5.yolo().Segment(CLASSES, ANCHORS, MASKS, 8, CHANNELS))
    ours = widened(Detect(CLASSES, ANCHORS, CHANNELS))
    ours.m.load_state_dict(stock.m.state_dict())
    levels = maps(SHAPES[0])
    theirs, _, _ = feed(stock, levels)
    found, _ = feed(ours, levels)
    assert found.shape[-1] == 5 + CLASSES + MASKS
    close(found, theirs)
    assert found[..., -MASKS:].min() < 0


def test_mask_coefficients_are_neither_boxes_nor_scores():
    head = widened(Detect(CLASSES, ANCHORS, CHANNELS))
    found = exported(head, SHAPES[0])
    assert found["scores"].shape[-1] == CLASSES
    assert_agree(found, expected(head, SHAPES[0]), SHAPES[0])
