from __future__ import annotations

import pytest
import torch
from keras_twin import draw
from torch import nn

from synet.layers import Conv2d, MaxPool2d
from synet.safety.replace_by_type import REPLACEMENTS, Substitution, replace_layers, replaces


def only(layer):
    """What replaces `layer`, or itself."""
    model = nn.Sequential(layer)
    replaced = replace_layers(model)
    assert [each.path for each in replaced] == (["0"] if model[0] is not layer else [])
    return model[0]


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.SiLU(), nn.ReLU(), nn.LeakyReLU(0.1), nn.PReLU(), nn.ELU(), nn.GELU(), nn.Mish()),
        *(nn.Hardswish(), nn.Hardtanh()),
    ],
    ids=repr,
)
def test_activations_become_relu6(layer):
    assert type(only(layer)) is nn.ReLU6


@pytest.mark.parametrize("layer", [nn.ReLU6(), nn.Sigmoid(), nn.Identity(), nn.BatchNorm2d(3)])
def test_what_is_safe_stays(layer):
    assert only(layer) is layer


def test_in_place_stays_in_place():
    assert only(nn.SiLU(inplace=True)).inplace
    assert not only(nn.SiLU()).inplace


def test_a_subclass_does_something_else_on_purpose():
    class Clever(nn.SiLU):
        pass

    layer = Clever()
    assert only(layer) is layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, 2, 1),
        nn.Conv2d(4, 6, 6, 2, 2),
        nn.Conv2d(4, 6, 2, 2),
        nn.Conv2d(4, 4, 3, 2, 1, groups=4, bias=False),
        nn.Conv2d(4, 6, 4, 1, "same"),
        nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2)),
    ],
    ids=repr,
)
def test_a_convolution_that_pads_unlike_tensorflow_gets_its_padding(layer):
    new = only(layer)
    assert type(new) is Conv2d
    assert (new.stride, new.groups, new.dilation) == (layer.stride, layer.groups, layer.dilation)
    for old, copied in zip(layer.parameters(), new.parameters(), strict=True):
        assert torch.equal(old, copied)
    x = draw(1, 4, 8, 11)
    assert new(x).shape[2:] == tuple(-(-n // s) for n, s in zip((8, 11), layer.stride, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(4, 6, 1, 2),
        nn.Conv2d(4, 6, 3, 1, 1),
        nn.Conv2d(4, 6, 3, 1, 2, dilation=2),
        nn.Conv2d(4, 6, 3, 1, "same"),
        nn.Conv2d(4, 6, 1, padding="valid"),
    ],
    ids=repr,
)
def test_a_convolution_that_pads_like_tensorflow_stays(layer):
    assert only(layer) is layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 6, 2),
        nn.Conv2d(4, 6, 3, 3),
        nn.Conv2d(4, 6, 3, padding=2),
        nn.Conv2d(4, 6, 1, padding=1),
        nn.Conv2d(4, 6, 3, padding="valid"),
        nn.Conv2d(4, 6, 3, 2, 1, padding_mode="reflect"),
        nn.Conv2d(4, 6, 3, 1, 1, padding_mode="circular"),
    ],
    ids=repr,
)
def test_a_convolution_with_other_padding_stays(layer):
    assert only(layer) is layer


@pytest.mark.parametrize("kernel", (5, (5, 5), 9, 13))
def test_a_large_pool_becomes_small_ones(kernel):
    side = kernel[0] if isinstance(kernel, tuple) else kernel
    old = nn.MaxPool2d(kernel, 1, side // 2)
    new = only(old)
    assert type(new) is MaxPool2d
    x = draw(1, 2, 16, 17)
    assert torch.equal(new(x), old(x))


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.MaxPool2d(2), nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(5, 2, 2), nn.MaxPool2d(5, 1)),
        *(nn.MaxPool2d(5, 1, 2, dilation=2), nn.MaxPool2d(5, 1, 2, return_indices=True)),
    ],
    ids=repr,
)
def test_other_pools_stay(layer):
    assert only(layer) is layer


def test_layers_are_found_at_any_depth_and_named():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.SiLU()
            self.more = nn.ModuleList([nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 1)])

    model = nn.Sequential(Block(), nn.Sequential(nn.LeakyReLU()))
    assert [each.path for each in replace_layers(model)] == ["0.act", "0.more.0", "1.0"]
    assert replace_layers(model) == []
    assert type(model[0].more[0]) is Conv2d


def test_a_layer_that_is_used_twice():
    shared = nn.SiLU()
    model = nn.Sequential(shared, nn.Conv2d(3, 3, 1), shared)
    (replaced,) = replace_layers(model)
    assert (replaced.path, replaced.count) == ("0", 2)
    assert type(model[0]) is nn.ReLU6 and model[0] is model[2]


def test_a_report_says_what_was_and_what_is():
    found = replace_layers(nn.ModuleDict({"act": nn.SiLU(), "pool": nn.MaxPool2d(5, 1, 2)}))
    assert str(found[0]) == "act: SiLU is now ReLU6: every chip has ReLU6, and few have another"
    assert found[1].now == "SyNet's MaxPool2d" and not found[1].why  # the same numbers
    assert str(Substitution("", "A", "B", "why", 3, 2)) == "A is now B (2 times): why"


def test_other_recipes():
    model = nn.Sequential(nn.SiLU(), nn.Conv2d(3, 4, 3))
    assert [each.now for each in replace_layers(model, {nn.Conv2d: lambda old: None})] == ["ReLU6"]
    assert type(model[1]) is nn.Conv2d


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays(training):
    model = nn.Sequential(nn.SiLU(), nn.Conv2d(3, 3, 3, 2, 1)).train(training)
    replace_layers(model)
    assert [layer.training for layer in model] == [training] * 2


def test_one_recipe_a_type():
    with pytest.raises(ValueError, match="SiLU is already replaced"):
        replaces(nn.SiLU)(lambda old: None)
    assert nn.SiLU in REPLACEMENTS
