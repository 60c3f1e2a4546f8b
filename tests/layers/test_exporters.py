"""What torch's own exporters make of the layers: the same numbers, at odd sizes too."""

from __future__ import annotations

import io

import pytest
import torch
from keras_twin import settle
from torch import nn

from synet.layers import (
    SPPF,
    Add,
    Cat,
    Conv,
    Conv2d,
    ConvTranspose2d,
    DepthwiseConv2d,
    Grayscale,
    InvertedResidual,
    MaxPool2d,
    Upsample,
)
from synet.layers.same import conv_transpose2d_same, same_padding

EVEN, ODD = (64, 96), (61, 99)


class Network(nn.Module):
    """Each kind of window: strided, even, dilated, pooled, transposed; and what is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.gray, self.stem = Grayscale(), Conv(1, 8, 3, 2)
        self.residual, self.deep = InvertedResidual(8, 8), DepthwiseConv2d(8, 5, 2)
        self.pools = nn.Sequential(MaxPool2d(2, 2), MaxPool2d(5), MaxPool2d(3, 2))
        self.sppf = SPPF(8, 8)
        self.up, self.twice = ConvTranspose2d(8, 8, 3, 2), Upsample(2)
        self.thin, self.even = Conv2d(8, 8, 1, 2), Conv2d(8, 8, 4, dilation=2)
        self.cat, self.add = Cat(), Add()

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine = self.residual(self.stem(self.gray(image)))
        coarse = self.sppf(self.deep(fine))
        total = self.add([fine, self.up(coarse)])
        return self.cat([fine, self.twice(coarse)]), self.thin(self.even(total)), self.pools(coarse)


@pytest.fixture(scope="module")
def network():
    return settle(Network()).requires_grad_(False)


def traced(network, image):
    return torch.jit.trace(network, image, check_trace=False)


def exported(network, image):
    return torch.export.export(network, (image,)).module()


def onnx_file(network, image, **options):
    """Run by the reference of the format itself, on plain loops of numpy."""
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    file = io.BytesIO()
    torch.onnx.export(network, (image,), file, input_names=["image"], dynamo=False, **options)
    evaluator = reference.ReferenceEvaluator(onnx.load_from_string(file.getvalue()))
    return lambda image: [
        torch.from_numpy(each) for each in evaluator.run(None, {"image": image.numpy()})
    ]


def check(run, network, shape):
    image = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    for found, expected in zip(run(image), network(image), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # exporters warn of their own age, and of each size they see
@pytest.mark.parametrize("shape", [EVEN, ODD])
@pytest.mark.parametrize("export", [traced, exported, onnx_file])
def test_every_exporter_gives_the_same(network, export, shape):
    check(export(network, torch.rand(1, 3, *shape)), network, shape)


@pytest.mark.filterwarnings("ignore")
def test_sizes_may_be_left_open(network):
    """Padding is computed, and not that of the image that was traced."""
    axes = {"image": {2: "height", 3: "width"}}
    run = onnx_file(network, torch.rand(1, 3, *ODD), dynamic_axes=axes)
    for shape in (ODD, EVEN, (45, 32)):
        check(run, network, shape)
    sides = {axis: 32 * torch.export.Dim(name, min=1, max=8) for axis, name in ((2, "h"), (3, "w"))}
    image = torch.rand(1, 3, *EVEN)
    run = torch.export.export(network, (image,), dynamic_shapes=(sides,)).module()
    check(run, network, (32, 128))


def test_a_window_without_stride_never_asks_for_the_size():
    """Such padding is constant in every graph; pooling in one of unknown size has to be."""

    class Unknown:
        def __getattr__(self, name):
            raise AssertionError(f"the size was asked for ({name})")

    assert same_padding(Unknown(), 5) == (2, 2)
    assert same_padding(Unknown(), 4, 1, 2) == (3, 3)
    assert same_padding(Unknown(), 1, 2) == (0, 0)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (4, 2), (3, 3), (2, 3), (3, 2), (5, 2)])
def test_transposed_convolution_cuts_only_where_it_has_to(kernel, stride):
    x, weight = torch.rand(1, 2, 4, 5), torch.rand(2, 3, kernel, kernel)
    y = conv_transpose2d_same(x, weight, stride=(stride, stride))
    assert y.shape[2:] == (4 * stride, 5 * stride)
    assert y.is_contiguous() is ((kernel - stride) % 2 == 0 or kernel < stride)
