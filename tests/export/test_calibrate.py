from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from synet.base import askeras
from synet.export.tensorflow import import_keras, to_float, to_int8
from synet.system.errors import ExportError
from synet.tflite.graph import read_graph


class Residual(nn.Module):
    """A sum with a far larger range than one of its terms."""

    def __init__(self):
        super().__init__()
        self.large, self.small, self.last = (
            nn.Conv2d(1, 4, 1),
            nn.Conv2d(4, 4, 1),
            nn.Conv2d(4, 2, 1),
        )

    def forward(self, x):
        large = self.large(x) * 20
        return self.last(large + self.small(large))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = Residual().eval()
    with torch.no_grad():
        model.small.weight *= 0.02
    return model


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).random((6, 5, 7, 1), np.float32))


@pytest.fixture(scope="module")
def keras_model(network):
    inp = import_keras().Input((5, 7, 1), batch_size=1)
    with askeras():
        return import_keras().Model(inp, network(inp))


def test_a_term_of_a_sum_keeps_its_own_range(network, images, keras_model):
    graph = read_graph(to_int8(to_float(keras_model), lambda: images))
    (small,) = [op for op in graph.operators if op.layer.endswith("small")]
    tensor = graph.tensors[small.outputs[0]]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        values = network.small(network.large(x) * 20)
        total = network.large(x) * 20 + values
    width = max(values.max().item(), 0) - min(values.min().item(), 0)  # int8 ranges hold zero
    assert tensor.scale[0] * 255 == pytest.approx(width, rel=0.02)
    assert (total.max() - total.min()).item() > 5 * width


def test_every_image_counts(images, keras_model):
    def scales(images):
        graph = read_graph(to_int8(to_float(keras_model), lambda: images))
        return [graph.tensors[op.outputs[0]].scale[0] for op in graph.operators]

    wide = [*images, 3 * images[0]]
    assert all(a < b for a, b in zip(scales(images), scales(wide), strict=True))


@pytest.mark.parametrize("bad", [[], [np.full((5, 7, 1), np.nan, np.float32)]], ids=["none", "nan"])
def test_images_that_say_nothing(bad, keras_model):
    with pytest.raises(ExportError, match="TFLite conversion failed"):
        to_int8(to_float(keras_model), lambda: bad)


class Scores(nn.Module):
    """Two convolutions far apart, as probabilities side by side; and one that is gated."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.gate = (nn.Conv2d(1, 2, 1) for _ in range(3))

    def forward(self, x):
        gate = self.gate(x * 400)
        scores = torch.cat([self.one(x * 40).sigmoid(), self.two(x).softmax(1)], 2)
        return scores, gate * gate.sigmoid()


def test_ranges_that_are_known(images):
    """No logistic function is scaled twice, and none is given what it does not tell apart."""
    torch.manual_seed(0)
    model = Scores().eval()
    inp = import_keras().Input((5, 7, 1), batch_size=1)
    with askeras():
        graph = read_graph(to_int8(to_float(import_keras().Model(inp, model(inp))), lambda: images))
    operations = [op.name for op in graph.operators]
    assert "QUANTIZE" not in operations
    (joined,) = [op for op in graph.operators if op.name == "CONCATENATION"]
    assert graph.tensors[joined.outputs[0]].scale == (1 / 256,)
    reads = {
        name: {i for op in graph.operators if op.name == name for i in op.inputs}
        for name in operations
    }
    for source in reads["LOGISTIC"]:
        width = graph.tensors[source].scale[0] * 255
        assert (width > 16.01) == (source in reads["MUL"])
