"""Recognising heads, the rows that they read, and what stands in for both in an export."""

from __future__ import annotations

import pytest
import small_heads as heads
import torch
from keras_twin import draw
from torch import nn

from synet.base import askeras
from synet.export.convert import to_keras
from synet.export.tensorflow import import_keras
from synet.layers import Detect
from synet.layers.heads import find_head, head_form, needed_rows, run_network
from synet.system.errors import ExportError, SynetError

SHAPE = (64, 96)


@pytest.mark.parametrize(
    ("head", "inputs"),
    [
        (heads.Anchors(), [0, 1]),
        (heads.Auxiliary(), [0, 1]),
        (heads.Keypoints(), [0, 1]),
        (heads.Distances(), [0, 1]),
        (heads.Pose(), [0, 1]),
        (heads.EndToEnd(), [0, 1]),
        (heads.Dual(), [2, 3]),
        (heads.Segment(), [0, 1]),
        (heads.Rotated8(), [0, 1]),
        (heads.Classify(), [0]),
        (Detect(3, heads.ANCHORS, heads.CHANNELS), [0, 1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_head_is_told_by_what_it_has(head, inputs):
    assert head_form(head).inputs(head) == inputs


def altered(head, **attributes):
    for name, value in attributes.items():
        setattr(head, name, value)
    return head


@pytest.mark.parametrize(
    "module",
    [
        nn.Identity(),
        nn.ModuleList([nn.Conv2d(1, 1, 1)]),
        heads.network(heads.Anchors()),
        altered(heads.Anchors(), reduce=nn.Conv2d(1, 1, 1)),  # a part of its own
        altered(heads.Anchors(), no=9),  # one column more than it knows of
        altered(heads.Anchors(), m=nn.ModuleList([nn.Conv2d(8, 16, 3), nn.Conv2d(12, 16, 3)])),
        altered(heads.Anchors(), nl=3),
        altered(heads.Distances(), cv4=heads.Pose().cv4),  # embeddings
        altered(heads.Pose(), proto=nn.Identity()),
        altered(heads.Pose(), kpt_shape=(5, 4)),
        altered(heads.Distances(), reg_max=8),
        altered(heads.Segment(), nm=5),
        altered(heads.Rotated8(), ne=2),
        altered(heads.Classify(), norm=nn.Identity()),
        altered(heads.Classify(), linear=nn.Conv2d(8, 3, 1)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_modules_that_are_none(module):
    assert head_form(module) is None


def test_the_head_of_a_network():
    network = heads.network(heads.Pose())
    assert find_head(network)[0] is network.model[-1]


def test_a_network_without_a_head_that_we_know():
    network = heads.network(altered(heads.Distances(), proto=nn.Identity()))
    with pytest.raises(SynetError, match=r"small_heads\.Distances is no head that SyNet can"):
        run_network(network, draw(1, 1, *SHAPE))
    with pytest.raises(SynetError, match="Linear is no head that"):
        find_head(nn.Linear(1, 1))


def rows(*sources, head):
    layers = nn.Sequential(*(nn.Identity() for _ in sources[:-1]), head)
    for index, (layer, source) in enumerate(zip(layers, sources, strict=True)):
        layer.i, layer.f = index, source
    return layers


def test_rows_that_only_training_needs():
    layers = rows(-1, -1, [-1, 0], 1, -1, -2, [3, 4, 2, -1], head=heads.Dual())
    assert needed_rows(layers) == {0, 1, 2, 3, 5, 6}
    layers = rows(-1, -1, [-1, 0], 1, -1, -2, [3, 4, 2, -1], head=heads.Auxiliary())
    assert needed_rows(layers) == {0, 1, 3, 4, 6}
    layers = rows(-1, -1, 0, head=nn.Identity())
    assert needed_rows(layers) == {0, 2}


def test_rows_that_only_training_needs_are_not_exported():
    network = heads.network(heads.Auxiliary(), 4)
    never = heads.Never()
    never.f, never.i = network.model[3].f, 3
    network.model[3] = nn.Sequential(network.model[3], heads.Never())
    network.model[3].f, network.model[3].i = never.f, 3
    assert set(to_keras(network, SHAPE, 1).output) == {"x1y1", "x2y2", "scores"}
    del network.synet
    with pytest.raises(ExportError, match="erfinv"):
        to_keras(network, SHAPE, 1)


def test_another_network_exports_as_it_is():
    network = heads.network(heads.Anchors())
    del network.synet
    assert not isinstance(to_keras(network, SHAPE, 1).output, dict)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails):
    keras = import_keras()
    network = heads.network(heads.WithImplicit()).train()
    head = network.model[-1]
    head.fuse()
    if fails:
        head.stride = None
    before = [dict(vars(module)) for module in network.modules()]
    image = keras.Input((*SHAPE, 1), batch_size=1)
    try:
        with askeras(imgsz=SHAPE):
            network(image)
    except SynetError as error:
        assert fails and "has no strides" in str(error)
    for module, attributes in zip(network.modules(), before, strict=True):
        assert vars(module) == attributes
        assert module.training


@pytest.mark.parametrize("imgsz", [SHAPE, None])
def test_boxes_are_clipped_to_the_image_not_to_the_cells(imgsz):
    keras, shape = import_keras(), (57, 83)  # eleven cells of 8 cover 88 pixels
    network = heads.network(heads.Anchors())
    inp = keras.Input((*shape, 1), batch_size=1)
    with askeras(imgsz=imgsz and shape):
        model = keras.Model(inp, network(inp))
    x = draw(1, 1, *shape, low=0, high=1)
    found = torch.from_numpy(model(x.permute(0, 2, 3, 1).numpy())["x2y2"].numpy())
    assert float(found.max()) == pytest.approx(83)
    torch.testing.assert_close(found, run_network(network, x)["x2y2"], rtol=0, atol=1e-3)
