from __future__ import annotations

import copy
import pickle

import pytest
import torch
from keras_twin import assert_same, draw, export, layers, settle
from torch import nn

from synet.layers import (
    Conv,
    Conv2d,
    ConvTranspose2d,
    DepthwiseConv2d,
    Head,
    InvertedResidual,
    Stem,
)
from synet.layers.conv import Spec, UpsampledConvTranspose2d, WidenedConv2d
from synet.system.errors import ChipError

SIZES = ((8, 11), (13, 6), (9, 7))


@pytest.mark.parametrize("stride", (1, 2, 3))
@pytest.mark.parametrize("kernel", range(1, 8))
def test_keras_equals_torch(kernel, stride):
    modules = (
        Conv2d(3, 4, kernel, stride),
        Conv2d(4, 6, kernel, stride, bias=False, groups=2),
        DepthwiseConv2d(3, kernel, stride),
        ConvTranspose2d(3, 4, kernel, stride),
        settle(Conv(3, 4, kernel, stride)),
    )
    for module in modules:
        for size in SIZES:
            model = assert_same(module, draw(1, 4 if module is modules[1] else 3, *size))
            kinds = {type(layer).__name__ for layer in model.layers}
            kinds -= {"Concatenate"} if module is modules[1] else set()  # a group each
            assert kinds <= {
                *("InputLayer", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose"),
                *("BatchNormalization", "ReLU"),
            }, "padding, slices or transposes that a chip would see"


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (2, 5)])
def test_kernels_that_are_not_square(kernel):
    for module in (Conv2d(3, 4, kernel, (2, 1)), ConvTranspose2d(3, 4, kernel, (2, 1))):
        assert_same(module, draw(1, 3, 8, 11))


def test_dilation():
    assert_same(Conv2d(3, 4, 3, dilation=2), draw(1, 3, 8, 11))
    assert_same(settle(Conv(3, 4, 3, d=2)), draw(1, 3, 8, 11))


def test_no_bias():
    assert_same(Conv2d(3, 4, 3, bias=False), draw(1, 3, 8, 11))
    assert_same(ConvTranspose2d(3, 4, 3, bias=False), draw(1, 3, 8, 11))


def test_a_depthwise_convolution_is_one_in_keras():
    model = export(DepthwiseConv2d(4, 3).eval(), draw(1, 4, 8, 8))
    assert layers(model, "DepthwiseConv2D") and not layers(model, "Conv2D")


@pytest.mark.parametrize("size", SIZES)
def test_sizes_follow_tensorflows_rule(size):
    x = draw(1, 3, *size)
    assert Conv2d(3, 4, 5, 2)(x).shape[2:] == tuple(-(-n // 2) for n in size)
    assert Conv(3, 4, 3, 3).eval()(x).shape[2:] == tuple(-(-n // 3) for n in size)
    assert ConvTranspose2d(3, 4, 5, 2)(x).shape[2:] == tuple(2 * n for n in size)


# --- Conv, in the place of a fork's ----------------------------------------------------------


def test_conv_has_the_parts_and_names_of_yolos_own():
    conv = Conv(3, 8, 3, 2)
    assert [type(part) for part in (conv.conv, conv.bn, conv.act)] == [
        *(Conv2d, nn.BatchNorm2d, nn.ReLU6)
    ]
    assert {name.partition(".")[0] for name in conv.state_dict()} == {"conv", "bn"}
    assert conv.conv.bias is None


@pytest.mark.parametrize("act", [True, nn.SiLU(), nn.LeakyReLU(0.1), nn.ReLU()])
def test_every_activation_becomes_relu6(act):
    assert type(Conv(3, 4, act=act).act) is nn.ReLU6


@pytest.mark.parametrize("act", [False, None])
def test_no_activation(act):
    assert type(Conv(3, 4, act=act).act) is nn.Identity


def test_the_order_of_arguments_of_old_and_new_forks():
    """Up to v6.2 the activation stands seventh, after it the dilation does."""
    old = Conv(4, 4, 3, 1, None, 2, False)
    new = Conv(4, 4, 3, 1, None, 2, 2, False)
    assert (old.conv.groups, old.conv.dilation, type(old.act)) == (2, (1, 1), nn.Identity)
    assert (new.conv.groups, new.conv.dilation, type(new.act)) == (2, (2, 2), nn.Identity)
    assert type(Conv(4, 4, 3, 1, None, 2, True).act) is nn.ReLU6


@pytest.mark.parametrize(
    ("k", "p", "d"),
    [(3, 1, 1), (6, 2, 1), (6, 3, 1), (1, 0, 1), (5, 2, 1), ((1, 3), (0, 1), 1), (3, 2, 2)],
)
def test_padding_that_is_same_anyway(k, p, d):
    assert Conv(3, 4, k, 1, p, d=d)(draw(2, 3, 8, 8)).shape[2:] == (8, 8)


@pytest.mark.parametrize(("k", "p"), [(3, 0), (3, 2), (1, 1), (6, 1), ((1, 3), (1, 0))])
def test_other_padding_is_refused(k, p):
    with pytest.raises(ChipError, match=r"only 'same' padding runs on every chip; leave the pad"):
        Conv(3, 4, k, 1, p)


def test_fused_is_the_same():
    """What YOLO's fuse() does: one convolution, with the padding that the attribute says."""
    conv, x = settle(Conv(3, 4, 3, 2)), draw(2, 3, 8, 11)
    expected = conv(x)
    fused = nn.utils.fuse_conv_bn_eval(conv.conv, conv.bn)
    plain = nn.Conv2d(3, 4, 3, 2, padding=conv.conv.padding)
    plain.load_state_dict(fused.state_dict())
    conv.conv, conv.forward = plain, conv.forward_fuse
    del conv.bn
    torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=0)
    assert Conv.fuseforward is Conv.forward_fuse


def test_a_forks_subclass_of_conv():
    class DWConv(Conv):
        def __init__(self, c1, c2, k=1, s=1, d=1, act=True):
            super().__init__(c1, c2, k, s, g=c1, d=d, act=act)

    assert_same(settle(DWConv(4, 4, 3, 2)), draw(1, 4, 8, 11))


def test_training_updates_it():
    conv = Conv(3, 4, 3, 2)
    conv(draw(2, 3, 8, 8)).sum().backward()
    assert conv.conv.weight.grad.abs().sum() > 0
    assert conv.bn.num_batches_tracked == 1


# --- layers of a network that is trained already --------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "groups"),
    [(3, 2, 1, 1), (5, 2, 2, 1), (6, 2, 2, 1), (3, 1, 0, 1), (3, 2, 0, 4), (1, 2, 0, 1)],
)
def test_a_widened_convolution_is_torchs_without_padding(size, kernel, stride, padding, groups):
    old = nn.Conv2d(4, 8, kernel, stride, padding, groups=groups)
    x = draw(1, 4, *size)
    new = WidenedConv2d.of(old, x.shape, 7)
    assert torch.equal(new(x), old(x)) and new.weight is old.weight
    model = assert_same(new, x)
    convolutions = layers(model, "Conv2D") + layers(model, "DepthwiseConv2D")
    assert {conv.padding for conv in convolutions} == {"same"}
    assert not layers(model, "ZeroPadding2D")


def test_what_cannot_be_widened_is_padded():
    assert layers(assert_same(WidenedConv2d(3, 4, 3, 1, 2), draw(1, 3, 8, 8)), "ZeroPadding2D")
    for old in (
        nn.Conv2d(3, 4, 3, padding=2),
        nn.Conv2d(3, 4, 3, dilation=2),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 7, 2, 3),
    ):
        assert WidenedConv2d.of(old, (1, 3, 8, 8), 7) is None


@pytest.mark.parametrize("form", [(2, 2), (4, 2, 1), (3, 2, 1, 1), (4, 4)])
def test_a_transposed_convolution_by_upsampling(form):
    old = nn.ConvTranspose2d(3, 5, *form)
    new, x = UpsampledConvTranspose2d.of(old), draw(1, 3, 7, 6)
    assert torch.equal(new(x), old(x)) and new.weight is old.weight and new.bias is old.bias
    model = assert_same(new, x)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert kinds == {"InputLayer", "Resizing", "Multiply", "Conv2D"} or not layers(
        model, "Conv2DTranspose"
    )


@pytest.mark.parametrize(
    "old",
    [
        nn.ConvTranspose2d(4, 4, 3, 2),
        nn.ConvTranspose2d(4, 4, 2, 2, groups=2),
        nn.ConvTranspose2d(4, 4, (2, 3), 2),
        nn.ConvTranspose2d(4, 4, 2, 2, dilation=2),
    ],
    ids=repr,
)
def test_other_transposed_convolutions_have_no_such_twin(old):
    assert UpsampledConvTranspose2d.of(old) is None


# --- a layer of the zoo that rides in as an argument -----------------------------------------


def test_a_spec_becomes_its_layer():
    head = Conv(16, 24, Spec(Head))
    assert type(head) is Head
    assert_same(settle(head), draw(1, 16, 8, 11))
    stem = Conv(1, 24, Spec(Stem, (4,)))
    assert type(stem) is Stem and stem.first.conv.out_channels == 4


def test_repeats_stride_once_and_change_channels_once():
    stack = Conv(8, 16, Spec(InvertedResidual, (2, 3), 3))
    assert [type(block) for block in stack] == [InvertedResidual] * 3
    assert [block.add for block in stack] == [False, True, True]
    assert [block.depthwise.conv.in_channels for block in stack] == [24, 48, 48]
    assert stack.eval()(draw(1, 8, 8, 8)).shape == (1, 16, 4, 4)
    heads = Conv(8, 16, Spec(Head, (5,), 2))
    assert heads.eval()(draw(1, 8, 8, 8)).shape == (1, 16, 8, 8)


def test_a_spec_prints_as_what_it_builds():
    assert repr(Spec(InvertedResidual, (2, 3), 3)) == "InvertedResidual(2, 3) x3"
    assert repr(Spec(Head)) == "Head()"


@pytest.mark.parametrize(
    "module",
    [Conv(3, 4, 3, 2), Conv2d(3, 4, 3), DepthwiseConv2d(3), ConvTranspose2d(3, 4)],
    ids=repr,
)
def test_whole_modules_are_pickled_and_copied(module):
    x = draw(1, 3, 8, 11)
    expected = module.eval()(x)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        torch.testing.assert_close(twin(x), expected)


def test_a_class_that_was_rebased_onto_it_can_be_built_again():
    """As a fork's DWConv is, and put back by unpatch()."""

    class Old(nn.Module):
        def __init__(self, c1, c2):
            super().__init__()

    class Narrow(Old):
        def __init__(self, c1, c2):
            super().__init__(c1, c2)

    Narrow.__bases__ = (Conv,)
    assert isinstance(Narrow(4, 8), Conv)
    Narrow.__bases__ = (Old,)
    assert not isinstance(Narrow(4, 8), Conv)
