"""A fork's calls of its own Conv build what its own class would have built."""

from __future__ import annotations

import copy
import pickle

import odd_convs
import pytest
import torch
from odd_convs import form
from torch import nn

from synet.layers import CSP, Conv, Head, InvertedResidual, Stem
from synet.layers.blocks import SPPF, Mixer
from synet.layers.conv import Spec
from synet.system.errors import ChipError

CALLS = {
    odd_convs.CBA: [
        *(((4, 8), {}), ((4, 8, 5), {}), ((4, 8, 1, 2), {}), ((4, 8), {"stride": 2})),
        *(((4, 8), {"act": False}), ((4, 8, 3, 1, False), {})),
    ],
    odd_convs.StrideFirst: [
        *(((4, 8), {}), ((4, 8, 2), {}), ((4, 8, 2, 5), {}), ((4, 8), {"kernel": 1})),
        *(((4, 4, 1, 3, 4), {}), ((4, 8, 1, 3, 1, "linear"), {}), ((4, 8, 1, 3, 1, "relu"), {})),
    ],
    odd_convs.BaseConv: [((4, 8, 3, 2, 1), {}), ((4, 4), {"ksize": 5, "stride": 1, "groups": 4})],
    odd_convs.Linear: [((4, 8), {}), ((4, 8, 3, 2, 1, 2), {}), ((4, 8), {"act": nn.ReLU})],
    odd_convs.Default: [((4, 8), {}), ((4, 8, 5, 2), {}), ((4, 8, 3, 1, 1), {})],
    odd_convs.Padded: [((4, 8), {}), ((4, 8, 3, 2), {}), ((4, 8, 1, 1, 0), {})],
    odd_convs.Fixed: [((4, 8), {}), ((4, 8, False), {})],
    odd_convs.Computed: [((4, 8), {}), ((4, 8, 3), {}), ((4, 8, None, 1), {})],
    odd_convs.Strange: [((4, 8), {}), ((4, 8, 2), {}), ((4, 8, 2, 3), {}), ((4, 8), {"size": 5})],
    odd_convs.ActFourth: [((4, 8), {}), ((4, 8, 3, False), {})],
    odd_convs.Open: [((4, 8), {}), ((4, 8), {"s": 2, "g": 2, "p": 1})],
}


@pytest.mark.parametrize(
    ("old", "args", "kwargs"), [(old, *call) for old, calls in CALLS.items() for call in calls]
)
def test_a_call_builds_what_the_forks_own_class_builds(old, args, kwargs):
    made = Conv.in_place_of(old)(*args, **kwargs)
    assert form(made) == form(old(*args, **kwargs)) and type(made) is Conv
    assert (
        made.eval()(torch.rand(1, 4, 16, 18)).shape[2:]
        == (old(*args, **kwargs).eval()(torch.rand(1, 4, 16, 18)).shape[2:])
    )
    assert type(made.act) is (nn.ReLU6 if form(made)["act"] else nn.Identity)


@pytest.mark.parametrize("old", [nn.Module, *CALLS])
def test_yolos_own_calls_and_our_blocks_stay_as_they_are(old):
    expected = [form(Conv(4, 8)), form(Conv(4, 8, 5, 2))]
    blocks = (InvertedResidual, CSP, Head, Stem, SPPF, Mixer)
    before = [str(block(8, 8)) for block in blocks]
    Conv.in_place_of(old)
    assert [form(Conv(4, 8)), form(Conv(4, 8, 5, 2))] == expected
    assert [str(block(8, 8)) for block in blocks] == before


class V5(nn.Module):
    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=True):
        super().__init__()


class V8(nn.Module):
    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, d=1, act=True):
        super().__init__()


class Anything(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()


@pytest.mark.parametrize("old", [V5, V8, Anything])
def test_what_is_called_as_yolos_own_gets_the_very_class(old):
    assert Conv.in_place_of(old) is Conv


def test_two_forks_have_a_signature_each():
    one, two = (Conv.in_place_of(old) for old in (odd_convs.CBA, odd_convs.StrideFirst))
    assert form(one(4, 8, 5, 2)) == form(two(4, 8, 2, 5)) == form(Conv(4, 8, 5, 2))


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("old", "kwargs", "named"),
    [
        (odd_convs.BaseConv, {"ksize": 1, "stride": 1, "bias": True}, r"bias=True\): .* no 'bias'"),
        (odd_convs.Open, {"dropout": 0.5}, r"dropout=0.5\): .* no 'dropout'; leave it out$"),
        (odd_convs.Padded, {"kernel": 5}, r"p=1\): only 'same' padding runs .* use \(2, 2\)$"),
    ],
)
def test_what_a_convolution_for_a_chip_lacks(old, kwargs, named):
    with pytest.raises(ChipError, match=named):
        Conv.in_place_of(old)(8, 8, **kwargs)


def test_what_ours_has_anyway_is_no_request():
    assert form(Conv.in_place_of(odd_convs.BaseConv)(8, 8, 3, 1, bias=False))["kernel"] == (3, 3)


def test_what_does_not_fit_the_forks_signature():
    with pytest.raises(TypeError, match="k"):
        Conv.in_place_of(odd_convs.CBA)(8, 8, k=3)


def test_the_users_random_numbers_are_not_moved():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Conv.in_place_of(odd_convs.Default)
    assert torch.equal(torch.rand(1), expected)


# ------------------------------------------------------------------------ it is a class of YOLO's


@pytest.fixture
def swapped() -> type:
    return Conv.in_place_of(odd_convs.CBA)


def test_it_is_a_class_that_a_builder_knows(swapped):
    assert isinstance(swapped, type) and issubclass(swapped, nn.Module)
    assert swapped in {swapped, nn.Conv2d} and swapped is not Conv
    assert isinstance(swapped(4, 8), swapped) and not isinstance(Head(4, 8), swapped)
    swapped.default_act = nn.SiLU()
    assert type(swapped(4, 8).act) is nn.ReLU6 and type(Conv.default_act) is nn.ReLU6


def test_what_a_fork_derives_from_it_calls_it_in_the_forks_way(swapped):
    class Depthwise(swapped):
        def __init__(self, cin, cout, stride=1):
            super().__init__(cin, cout, stride=stride)

    class Old(odd_convs.CBA):
        pass

    made = Depthwise(4, 8, 2)
    assert type(made) is Depthwise and isinstance(made, swapped) and isinstance(made, Conv)
    assert form(made)["kernel"] == (3, 3) and form(made)["stride"] == (2, 2)
    assert not isinstance(swapped(4, 8), Depthwise)

    Old.__bases__ = (swapped,)
    assert form(Old(4, 8))["kernel"] == (3, 3) and type(Old(4, 8).act) is nn.ReLU6
    Old.__bases__ = (odd_convs.CBA,)
    assert type(Old(4, 8).act) is nn.SiLU


def test_whole_models_are_pickled_by_our_own_name(swapped):
    made = swapped(4, 8)
    content = pickle.dumps(made)
    assert b"synet.layers.conv" in content and b"odd_convs" not in content
    for twin in (pickle.loads(content), copy.deepcopy(made)):
        assert type(twin) is Conv and isinstance(twin, swapped) and form(twin) == form(made)


@pytest.mark.parametrize("old", [odd_convs.StrideFirst, odd_convs.BaseConv, odd_convs.Fixed])
def test_a_layer_of_the_zoo_rides_in_on_any_signature(old):
    made = Conv.in_place_of(old)(8, 16, Spec(InvertedResidual, (2, 3)))
    assert type(made) is InvertedResidual and made.depthwise.conv.stride == (2, 2)
    assert form(Conv.in_place_of(old)(8, 16, Spec(Conv, (5, 2)))) == form(Conv(8, 16, 5, 2))
