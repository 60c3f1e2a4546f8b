"""Networks that are built already: a chip-safe copy, and what a chip would not run."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from keras_twin import assert_same, draw, export, settle
from torch import nn

import synet
from synet.chips import get_chip
from synet.chips.known import OWN
from synet.layers.blocks import Mixer
from synet.layers.conv import UpsampledConvTranspose2d, WidenedConv2d
from synet.quantize import quantize
from synet.system.errors import ChipError
from synet.tflite.graph import read_graph
from synet.verdict.check import violations


class Block(nn.Module):
    def __init__(self, c1, c2, stride=1, act=nn.ReLU):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, 3, stride, 1, bias=False)
        self.bn, self.act = nn.BatchNorm2d(c2), act()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Focus(nn.Module):
    """YOLOX's: every other pixel becomes channels."""

    def __init__(self, c2):
        super().__init__()
        self.block = Block(12, c2)

    def forward(self, x):
        rows = (x[..., ::2, :], x[..., 1::2, :])
        return self.block(torch.cat([r[..., i::2] for r in rows for i in (0, 1)], 1))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.qk = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x):
        q, k = self.qk(x).flatten(2).chunk(2, 1)
        return (x.flatten(2) @ (q.transpose(1, 2) @ k).softmax(-1)).view(x.shape)


class Network(nn.Module):
    """Neither rows nor yaml: a stem, a branch that is upsampled, attention, raw maps."""

    def __init__(self, stem=None, colours=3):
        super().__init__()
        self.stem = stem or Block(colours, 8, 2)
        self.down = Block(8, 8, 2, nn.SiLU)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.attention = Attention(8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.classes, self.boxes = nn.Conv2d(16, 3, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x):
        fine = self.stem(x)
        coarse = self.pool(self.down(fine))
        coarse = coarse + self.attention(coarse)
        both = torch.cat([fine, F.leaky_relu(self.up(coarse), 0.1)], 1)
        return [torch.sigmoid(self.classes(both)), [self.boxes(both) / 4, coarse]]


def network(**options):
    torch.manual_seed(0)
    return settle(Network(**options))


def test_a_safe_copy_runs_on_the_chip_from_torch_to_int8():
    model = network()
    before = copy.deepcopy(model.state_dict())
    safe = synet.make_safe(model, "katana", (32, 48))
    assert synet.check(safe, "katana", (32, 48)) == []
    assert safe.synet == {"chip": "katana", "channels": 1}
    keras_model = assert_same(safe, draw(1, 1, 32, 48, low=0, high=1))
    graph = read_graph(quantize(keras_model, number=2, progress=False))
    assert violations(graph, get_chip("katana")) == []
    # the original is untouched
    assert synet.check(model, "katana", 32)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not hasattr(model, "synet") and type(model.pool) is nn.MaxPool2d


def test_what_takes_the_place_of_what():
    safe = synet.make_safe(network(), "katana", 32)
    assert type(safe.stem.act) is type(safe.down.act) is nn.ReLU6
    assert type(safe.attention) is Mixer
    assert type(safe.up) is UpsampledConvTranspose2d
    assert type(safe.stem.conv) is WidenedConv2d


def test_weights_and_their_names_stay():
    model = network()
    old, new = model.state_dict(), synet.make_safe(model, "katana", 32).state_dict()
    kept = [name for name in old if not name.startswith(("attention", "stem.conv"))]
    assert all(torch.equal(old[name], new[name]) for name in kept)
    assert new["stem.conv.weight"].shape == (8, 1, 3, 3)
    assert any(name.startswith("attention.depthwise") for name in new)


@pytest.mark.parametrize("stem", [None, Focus(8)], ids=["plain", "focus"])
def test_a_grey_image_gives_what_three_equal_channels_gave(stem):
    model = network(stem=stem)
    safe = synet.make_safe(model, "katana", 32)
    gray = draw(1, 1, 32, 32, low=0, high=1)
    with torch.no_grad():
        found, expected = safe.stem(gray), model.stem(gray.expand(-1, 3, -1, -1)).clamp(max=6)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert_same(safe, gray)


def test_a_convolution_with_a_stride_looks_at_the_same_pixels():
    """All but the activations computes what it did; the usual 'same' is off by a pixel."""
    model = settle(nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 5, 2, 2)))
    safe, x = synet.make_safe(model, "katana", 32), draw(1, 1, 32, 32)
    assert torch.equal(safe(x), model(x))
    assert_same(safe, x)


def test_two_convolutions_that_read_the_image():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.a(x) + self.b(x)

    model = Two().eval()
    safe, gray = synet.make_safe(model, "katana", 16), draw(1, 1, 16, 16)
    torch.testing.assert_close(safe(gray), model(gray.expand(-1, 3, -1, -1)))


def test_colours_that_are_not_read_alike_are_refused():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(torch.cat([x[:, :1], x[:, 1:] * 0.5], 1))

    with pytest.raises(ChipError, match="^conv: it does not read the colours of the image alike"):
        synet.make_safe(Weighted(), "katana", 16)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays(training):
    model = network().train(training)
    model.stem.bn.train(not training)
    safe = synet.make_safe(model, "katana", 32)
    assert model.training == training and model.stem.bn.training != training
    assert safe.training == safe.attention.training == safe.up.training == training
    assert safe.stem.bn.training != training
    assert safe.stem.bn.num_batches_tracked == 0


def test_each_substitution_is_logged(caplog):
    synet.make_safe(network(), "katana", 32)
    text = caplog.text
    assert "stem.act: ReLU is now ReLU6" in text
    assert "attention: Attention is now Mixer: matmul becomes BATCH_MATMUL" in text
    assert "leaky_relu() in Network is now ReLU6" in text
    assert "UpsampledConvTranspose2d" not in text  # the same numbers


# --- what is wrong -------------------------------------------------------------------------------


def test_check_lists_what_the_chip_does_not_run():
    model = network()
    before = copy.deepcopy(model)
    found = synet.check(model, "katana", 32)
    listed = [(each.where, each.problem.split(",")[0]) for each in found]
    assert listed == [
        ("input", "the image has 3 channels"),
        ("stem.conv (Conv2d)", "conv2d becomes PAD"),
        ("stem.act (ReLU)", "relu becomes RELU"),
        ("down.conv (Conv2d)", "conv2d becomes PAD"),
        ("down.act (SiLU)", "the activation is SiLU (x times its logistic)"),
        ("pool (MaxPool2d)", "MAX_POOL_2D with kernel 5x5"),
        ("attention (Attention)", "matmul becomes BATCH_MATMUL"),
        ("up (ConvTranspose2d)", "conv_transpose2d becomes TRANSPOSE_CONV"),
        ("(Network)", "leaky_relu becomes LEAKY_RELU"),
    ]
    assert all(each.fix for each in found)
    assert str(before) == str(model)


def test_all_that_is_left_is_listed():
    class Decoding(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.tail = nn.Conv2d(1, 4, 1), nn.Sequential(nn.LogSoftmax(1))

        def forward(self, x):
            return torch.sort(self.tail(torch.exp(self.conv(x))), 1)[0]

    with pytest.raises(ChipError, match="^katana does not run this network:\n") as caught:
        synet.make_safe(Decoding(), "katana", 16)
    assert [each.where for each in caught.value.violations] == [
        *("(Decoding)", "tail.0 (LogSoftmax)", "(Decoding)")
    ]
    assert "exp becomes EXP, which katana does not run; leave" in str(caught.value)
    assert "tail.0 (LogSoftmax): log_softmax cannot be exported" in str(caught.value)


def test_a_network_that_does_not_run_on_such_an_image():
    with pytest.raises(
        ChipError, match=r"does not run on an image of 16x16 pixels: .*; give the s"
    ):
        synet.make_safe(nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), "katana", 16)
    with pytest.raises(ChipError, match="no chip is named 'katanna'"):
        synet.check(network(), "katanna", 32)


def test_constants_are_no_operations_of_the_chip():
    """What is computed from weights and shapes is there before the chip runs."""

    class Implicit(nn.Module):
        def __init__(self):
            super().__init__()
            self.implicit = nn.Parameter(torch.randn(1, 4, 1, 1))
            self.conv = nn.Conv2d(1, 4, 1)

        def forward(self, x):
            grid = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij"))
            return self.conv(x) * self.implicit.exp().expand(1, 4, 16, 16) + grid.float().max()

    assert synet.check(Implicit().eval(), "katana", 16) == []
    assert_same(Implicit(), draw(1, 1, 16, 16))


# --- ultralytics' own networks ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["yolov8n", "yolov10n", "yolo11n", "yolo12n", "yolo26n"])
def test_the_networks_of_ultralytics(name):
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    definition = tasks.yaml_model_load(f"{name}.yaml")
    definition["scales"] = {"n": [0.33, 0.25, 256]}
    torch.manual_seed(0)
    model = tasks.DetectionModel(definition, nc=3, verbose=False).eval()
    found = {each.problem.split(",")[0] for each in synet.check(model, "katana", 64)}
    assert ("matmul becomes BATCH_MATMUL" in found) == (name != "yolov8n")
    safe = synet.make_safe(model, "katana", 64)
    assert synet.check(safe, "katana", 64) == []
    assert any(isinstance(part, Mixer) for part in safe.modules()) == (name != "yolov8n")
    outputs = export(safe, draw(1, 1, 64, 64)).output
    assert {"x1y1", "x2y2", "scores"} <= set(outputs)


def test_the_activation_is_the_one_of_the_chip(tmp_path, monkeypatch):
    text = get_chip("katana").file.read_text().replace("activation: relu6", "activation: relu")
    facts, advice = text.replace("RELU6: ", "RELU: ").split("alternatives:")
    own = tmp_path / "plain.yaml"
    own.write_text(facts + "alternatives: {}\n")
    monkeypatch.setenv(OWN, str(own))
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 1), nn.ReLU6())
    safe = synet.make_safe(model, "plain", 32)
    assert type(safe[1]) is type(safe[3]) is nn.ReLU
