"""The rows of a YOLO, made safe for a chip: blocks as forks write them, small."""

from __future__ import annotations

import copy
import pickle

import pytest
import small_heads as heads
import torch
import torch.nn.functional as F
from keras_twin import Call, assert_same, draw, layers, settle
from torch import nn

from synet.chips import get_chip
from synet.layers import Cat, Conv, Detect, InvertedResidual, MaxPool2d, Upsample
from synet.layers.blocks import Mixer
from synet.layers.clip import is_clipped
from synet.layers.conv import UpsampledConvTranspose2d, WidenedConv2d
from synet.safety.rows import UnsafeRow, make_rows_safe
from synet.system.errors import ChipError


class Attention(nn.Module):
    """As YOLOv10 has it: an image goes in and comes out, products are in between."""

    def __init__(self, channels, heads=2):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(channels, channels * 3, 1)
        self.act = nn.SiLU()

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.act(self.qkv(x)).view(n, self.heads, -1, h * w).chunk(3, 2)
        weights = (q.transpose(-2, -1) @ k).softmax(-1)
        return (v @ weights.transpose(-2, -1)).reshape(n, c, h, w)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Tokens(nn.Module):
    """A transformer over pixels, as C3TR has it: what multiplies never sees an image."""

    def __init__(self, channels):
        super().__init__()
        self.layer = nn.MultiheadAttention(channels, 2)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.flatten(2).permute(2, 0, 1)
        return self.layer(tokens, tokens, tokens)[0].permute(1, 2, 0).reshape(n, c, h, w)


class Shuffle(nn.Module):
    """ShuffleNet's: half of the channels pass, then all are shuffled."""

    def __init__(self, channels):
        super().__init__()
        self.branch = Conv(channels // 2, channels // 2, 3, g=channels // 2)

    def forward(self, x):
        kept, other = x.chunk(2, 1)
        x = torch.cat([kept, self.branch(other)], 1)
        n, c, h, w = x.data.size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Functional(nn.Module):
    """A block that holds no activation: its code calls one."""

    def __init__(self, channels, activation=F.relu):
        super().__init__()
        self.conv, self.activation = nn.Conv2d(channels, channels, 3, padding=1), activation

    def forward(self, x):
        return self.activation(self.conv(x) * 9)


class Squeeze(nn.Module):
    """Squeeze and excitation, with layers for vectors."""

    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels))

    def forward(self, x):
        n, c, _, _ = x.size()
        gate = torch.sigmoid(self.fc(F.adaptive_avg_pool2d(x, 1).view(n, c)))
        return x * gate.view(n, c, 1, 1).expand_as(x)


class Spatial(nn.Module):
    """CBAM's look at each pixel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        mean, top = x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]
        return x * self.conv(torch.cat([mean, top], 1)).sigmoid()


class OwnSwish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


def stem():
    """A small image for attention: 32x32 pixels."""
    return nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 8, 3, 2), Conv(8, 8, 3, 2))


def numbered(*given):
    """Layers as ``parse_model`` leaves them; a pair says where its layer reads from."""
    made = []
    for index, layer in enumerate(given):
        layer, source = layer if isinstance(layer, tuple) else (layer, -1)
        layer.i, layer.f, layer.type, layer.np = index, source, type(layer).__name__, 7
        made.append(layer)
    return nn.Sequential(*made)


def safe(*given, channels=3, needed=None):
    rows = numbered(*given)
    return rows, make_rows_safe(rows, channels, get_chip("katana"), needed)


def refusal(*given, channels=3):
    with pytest.raises(UnsafeRow) as caught:
        safe(*given, channels=channels)
    assert isinstance(caught.value, ChipError) and "\n" not in str(caught.value)
    return caught.value.index, str(caught.value)


def test_what_the_chip_runs_stays():
    rows, found = safe(
        Conv(3, 8, 3, 2),
        InvertedResidual(8, 8),
        MaxPool2d(5),
        Upsample(),
        Conv(8, 8),
        (Cat(), [-1, 3]),
        (Detect(2, [[1, 2]], [16]), [5]),
    )
    assert found == [] and type(rows[0]) is Conv


# --- attention --------------------------------------------------------------------------------


def test_attention_becomes_a_mixer_and_what_is_around_it_stays():
    block = Residual(Attention(8))
    rows, found = safe(stem(), block)
    assert rows[1] is block and type(block.inner) is Mixer
    (report,) = [each for each in found if each.now == "Mixer"]
    assert (report.index, report.path, report.was) == (1, "inner", "Attention")
    assert "BATCH_MATMUL, which katana does not run" in str(report)
    assert_same(settle(rows), draw(1, 3, 32, 40))


def test_a_row_that_is_attention_itself_keeps_its_notes():
    rows, _ = safe(stem(), (Tokens(8), -1))
    assert type(rows[1]) is Mixer
    assert (rows[1].i, rows[1].f, rows[1].type, rows[1].np) == (1, -1, "Tokens", 7)


def test_attention_that_changes_channels():
    class Wider(Attention):
        def forward(self, x):
            return torch.cat([super().forward(x), x], 1)

    rows, _ = safe(stem(), Wider(8), Conv(16, 4))
    assert rows[1].project.conv.out_channels == 16


def test_products_outside_of_an_image_are_refused():
    index, text = refusal(stem(), Call(lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2)))
    assert index == 1
    assert text.startswith("matmul becomes BATCH_MATMUL, which katana does not run; mix pixels")


# --- activations ------------------------------------------------------------------------------


def test_a_forks_own_activation_is_told_by_what_it_does():
    rows, found = safe(Conv(3, 8), nn.Sequential(nn.Conv2d(8, 8, 1), OwnSwish()))
    assert type(rows[1][1]) is nn.ReLU6
    assert [(each.path, each.was, each.now) for each in found] == [("1", "OwnSwish", "ReLU6")]


@pytest.mark.parametrize(
    "activation",
    [F.relu, F.silu, torch.relu, lambda x: F.leaky_relu(x, 0.1), lambda x: x.relu_(), F.mish],
)
def test_an_activation_that_is_a_function_is_reached(activation):
    block = Functional(8, activation)
    rows, found = safe(Conv(3, 8), block)
    assert rows[1] is block and is_clipped(block)
    assert found[0].was.endswith("() in Functional") and found[0].now == "ReLU6"
    x = draw(1, 3, 8, 8)
    assert 0 <= rows.eval()(x).min() and rows(x).max() == 6
    assert_same(rows, x)


def test_clipping_is_copied_and_saved_with_the_module():
    rows, _ = safe(Conv(3, 8), Functional(8))
    x = draw(1, 3, 8, 8)
    expected = rows.eval()(x)
    for twin in (copy.deepcopy(rows), pickle.loads(pickle.dumps(rows))):
        assert torch.equal(twin(x), expected)
    assert F.relu(torch.tensor(9.0)) == 9  # outside of it torch's is torch's


# --- what the export says in other words ----------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        *(Shuffle(8), Squeeze(8), Spatial(), nn.AvgPool2d(2, 1), nn.AvgPool2d(3, 2, 1)),
        *(nn.Conv2d(8, 16, 3, padding=1, groups=4), nn.Upsample(scale_factor=4)),
        *(nn.MaxPool2d(3, 2, 1), nn.ZeroPad2d((0, 1, 0, 1)), nn.Hardsigmoid(), nn.Softmax(1)),
        *(Call(lambda x: x - 3), Call(lambda x: x / 3), Call(lambda x: -x)),
    ],
    ids=repr,
)
def test_what_the_chip_runs_in_another_form_stays(block):
    rows, found = safe(Conv(3, 8), block)
    assert rows[1] is block
    assert [each for each in found if each.was != "ReLU"] == []
    for size in ((16, 20), (15, 19)):
        assert_same(settle(rows), draw(1, 3, *size))


def test_a_transposed_convolution_is_computed_by_upsampling():
    old = nn.ConvTranspose2d(8, 8, 2, 2)
    rows, found = safe(Conv(3, 8), old)
    assert type(rows[1]) is UpsampledConvTranspose2d and rows[1].weight is old.weight
    assert found == []  # no number has changed
    assert_same(settle(rows), draw(1, 3, 8, 10))


class Padded(nn.Module):
    """As PP-HGNet pads: by hand, before kernels of two pixels."""

    def __init__(self, channels):
        super().__init__()
        self.conv, self.free = nn.Conv2d(channels, channels, 2), nn.Conv2d(channels, channels, 3)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))[..., 1:-1, 1:-1] + self.free(x)


def test_padding_by_hand_and_none_at_all():
    rows, found = safe(Conv(3, 8), Padded(8))
    assert type(rows[1].conv) is nn.Conv2d and type(rows[1].free) is WidenedConv2d
    assert found == []
    for size in ((16, 20), (15, 19)):
        model = assert_same(settle(rows), draw(1, 3, *size))
        assert not layers(model, "ZeroPadding2D")


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.ConvTranspose2d(8, 8, 3, 2), "conv_transpose2d becomes TRANSPOSE_CONV, which katana "),
        (
            nn.AvgPool2d(9, 1, 4),
            "avg_pool2d becomes AVERAGE_POOL_2D, which katana does not run; use a s",
        ),
        (
            nn.Conv2d(8, 8, 5, dilation=2, padding=4),
            "CONV_2D with dilation 2x2; use a dilation of 1",
        ),
        (nn.Conv2d(8, 8, 3, padding=2), "conv2d becomes PAD, which katana does not run; give the"),
        (Call(lambda x: F.conv2d(x, torch.ones(8, 8, 3, 3))), "conv2d becomes PAD, which katana d"),
        (nn.Upsample(scale_factor=3), "RESIZE_NEAREST_NEIGHBOR from 256x256 to 768x768; resize by"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "interpolate becomes RESIZE_BILINEAR, "),
        (Functional(8, lambda x: x * x.sigmoid()), "the activation is SiLU (x times its logis"),
        (
            Functional(8, lambda x: x / (x + 9)),
            "div becomes DIV, which katana does not run",
        ),
        (
            Call(lambda x: x.cumsum(1)),
            "cumsum cannot be exported; synet.layers.Mixer can take the place of Call, with",
        ),
        (nn.GroupNorm(2, 8), "group_norm cannot be exported; synet.layers.BatchNorm can take the"),
        (
            nn.Sequential(nn.Conv2d(8, 8, 1), nn.PixelUnshuffle(2)),
            "pixel_unshuffle cannot be exported; use Conv or InvertedResidual",
        ),
        (Call(lambda x: torch.sort(x, 1)[0]), "sort cannot be exported"),
    ],
)
def test_what_nothing_can_take_the_place_of_is_refused(layer, said):
    index, text = refusal(Conv(3, 8), layer, nn.Tanh())
    assert index == 1
    assert text.startswith(said)


def test_all_refusals_are_told_at_once():
    """Also those behind one that torch runs; what would read a row that does not run is left."""
    pools = nn.AvgPool2d(9, 1, 4), nn.Sequential(nn.AvgPool2d(9, 1, 4), nn.AvgPool2d(9, 1, 4))
    rows = (Conv(3, 8), *pools, Conv(4, 8), nn.Tanh(), (Call(lambda x: x.cumsum(1)), 2))
    with pytest.raises(UnsafeRow) as caught:
        safe(*rows)
    assert [index for index, _ in caught.value.refusals] == [1, 2, 3, 5]
    assert str(caught.value).count("\n") == 3


def test_what_costs_more_than_it_seems_to_is_told():
    layer = nn.Conv2d(8, 8, 3, dilation=2, padding=2, bias=False)
    rows, found = safe(Conv(3, 8), nn.Sequential(layer, nn.ReLU6()))
    assert rows[1][0] is layer
    (told,) = found
    assert (told.index, told.path, told.was) == (1, "0", "Conv2d")
    assert told.now == "a convolution of 5x5 and stride 1x1"
    assert told.why == (
        "it has a stride of 1x1 and a dilation of 2x2 with what katana has; the numbers stay, the "
        "multiply-accumulates go from 37.75 to 104.86 million"
    )


def test_a_pool_of_which_most_is_left_out_is_told():
    rows, found = safe(Conv(3, 8), nn.Sequential(nn.AvgPool2d(5), nn.AvgPool2d(6)))
    (told,) = found
    assert (told.was, told.now) == (
        "AvgPool2d",
        "a convolution of 5x5 and stride 1x1, of which it keeps one pixel of 5x5",
    )
    assert "from 0.52 to 13.11 million" in told.why


def test_a_layer_that_does_not_run_at_all():
    index, text = refusal(Conv(3, 8), Conv(4, 8))
    assert index == 1
    assert "to have 4 channels, but got 8" in text


# --- which rows, on what ----------------------------------------------------------------------


def test_only_what_the_head_reads_counts():
    unsafe = Call(lambda x: torch.sort(x, 1)[0])
    silu = nn.SiLU()
    rows = (Conv(3, 8), unsafe, (silu, 0), (nn.SiLU(), 0), (Cat(), [-1, 0]))
    made, found = safe(*rows, needed=[4])
    assert made[1] is unsafe and made[2] is silu and type(made[3]) is nn.ReLU6
    assert {each.index for each in found} == {3}
    assert refusal(*rows)[0] == 1


@pytest.mark.parametrize("needed", [None, [0, 1]])
def test_what_the_export_of_a_head_runs_is_made_safe(needed):
    """And nothing else of it: what its loss alone reads is no business of the chip."""
    head = heads.Segment()
    head.proto.act, head.proto.flow = nn.SiLU(), nn.SiLU()
    head.proto.forward = lambda x: head.proto.cv3(head.proto.act(head.proto.upsample(x)))
    rows, stride = heads.Network(head).model, head.stride
    found = make_rows_safe(rows, 1, get_chip("katana"), needed)
    assert type(head.proto.upsample) is UpsampledConvTranspose2d
    assert type(head.proto.act) is nn.ReLU6 and type(head.proto.flow) is nn.SiLU
    assert [(each.index, each.path) for each in found] == [(2, "proto.act")]
    assert head.stride is stride


@pytest.mark.parametrize("needed", [None, [2, 3]])
def test_a_head_with_maps_that_training_alone_reads(needed):
    """They come first, so that what the export reads has other numbers than it would alone."""
    rows = heads.Network(heads.Dual(), 4).model
    assert make_rows_safe(rows, 1, get_chip("katana"), needed) == []


def test_a_head_that_the_chip_does_not_run():
    head = heads.Distances()
    head.cv3[1].append(Call(lambda x: torch.sort(x, 1)[0]))
    head.cv3[1].append(nn.Conv2d(3, 3, 1))
    with pytest.raises(UnsafeRow, match="sort cannot be exported") as caught:
        make_rows_safe(heads.Network(head).model, 1, get_chip("katana"), [0, 1])
    assert caught.value.index == 2


def test_strides_that_a_head_does_not_have_yet():
    head = heads.Distances()
    del head.stride
    type(head).stride = None
    try:
        make_rows_safe(heads.Network(head).model, 1, get_chip("katana"))
        assert "stride" not in vars(head)
    finally:
        del type(head).stride


def test_what_goes_with_attention_is_not_reported():
    _, found = safe(stem(), Residual(Attention(8)))
    assert [each.was for each in found] == ["Attention"]


def test_a_layer_reads_what_it_says():
    widths = []
    spy = Call(lambda x: widths.append([t.shape[1] for t in x]) or x[0])
    safe(Conv(3, 4), Conv(4, 8), Conv(8, 16), (spy, [0, -1, -2]))
    assert widths == [[4, 16, 8]]


def test_an_input_of_one_channel():
    assert safe(Conv(1, 4), channels=1)[1] == []


def test_alike_is_reported_once_a_row():
    block = nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 1), nn.SiLU()) for _ in range(5)))
    _, found = safe(Conv(3, 8), block)
    assert [(each.path, each.count) for each in found] == [("0.1", 5)]
    assert "(5 times)" in str(found[0])


def test_modes_and_statistics_stay_as_they_were():
    rows = numbered(stem(), Conv(8, 8).eval(), Residual(Attention(8)), nn.Sequential(nn.SiLU()))
    rows[1].act.train()
    make_rows_safe(rows, 3, get_chip("katana"))
    assert rows[0].training and not rows[1].training and rows[1].act.training
    assert all(part.training for part in rows[2].modules())
    assert rows[3][0].training
    assert rows[0][0].bn.num_batches_tracked == 0
