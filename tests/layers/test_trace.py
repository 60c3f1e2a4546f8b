from __future__ import annotations

import pytest
import torch
from torch import nn

from synet.layers import Cat, Conv, Detect, InvertedResidual, MaxPool2d, Upsample
from synet.layers.trace import first_problem


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def numbered(*layers):
    """Layers as ``parse_model`` leaves them; a pair says where its layer reads from."""
    made = []
    for layer in layers:
        layer, source = layer if isinstance(layer, tuple) else (layer, -1)
        layer.f = source
        made.append(layer)
    return made


def problem(*layers, channels=3):
    return first_problem(numbered(*layers), channels, "katana", Detect)


def test_what_the_chip_runs_is_no_problem():
    assert (
        problem(
            Conv(3, 8, 3, 2),
            InvertedResidual(8, 8),
            MaxPool2d(5),
            Upsample(),
            Conv(8, 8),
            (Cat(), [-1, 3]),
            (Detect(2, [[1, 2]], [16]), [5]),
        )
        is None
    )


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.AvgPool2d(2), "avg_pool2d becomes AVERAGE_POOL_2D, which katana does not run; use a s"),
        (nn.Softmax(1), "softmax becomes SOFTMAX, which katana does not run; use Conv or "),
        (nn.ConvTranspose2d(8, 8, 2), "conv_transpose2d becomes TRANSPOSE_CONV, which katana "),
        (nn.ReLU(), "relu becomes RELU, which katana does not run; use ReLU6"),
        (nn.Tanh(), "tanh becomes TANH, which katana does not run; use ReLU6"),
        (Function(lambda x: x - x.mean()), "mean becomes MEAN"),
        (Function(lambda x: x.cumsum(1)), "cumsum cannot be exported"),
        (Function(lambda x: torch.sort(x, 1)[0]), "sort cannot be exported"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_first_problem_is_found_and_named(layer, said):
    index, text = problem(Conv(3, 8, 3, 2), Conv(8, 8), layer, nn.Softmax(1))
    assert index == 2
    assert text.startswith(said)


def test_functions_that_the_export_does_away_with_are_no_problem():
    assert problem(Function(lambda x: nn.functional.pad(x, (0, 1, 0, 1)))) is None
    assert problem(Conv(3, 8), nn.Dropout(), Function(lambda x: x.permute(0, 2, 3, 1))) is None
    assert problem(nn.Hardtanh(0.0, 6.0)) is None
    assert problem(nn.Hardtanh())[0] == 0


def test_a_layer_reads_what_it_says():
    widths = []
    spy = Function(lambda x: widths.append([t.shape[1] for t in x]) or x[0])
    problem(Conv(3, 4), Conv(4, 8), Conv(8, 16), (spy, [0, -1, 1]))
    assert widths == [[4, 16, 8]]


def test_layers_from_the_head_on_do_not_run():
    def fail(x):
        raise AssertionError

    head = Detect(2, [[1, 2]], [4])
    assert problem(Conv(3, 4), (head, [0]), Function(fail)) is None


def test_a_layer_that_does_not_run_at_all():
    index, text = problem(Conv(3, 8), Conv(4, 8))
    assert index == 1
    assert "to have 4 channels, but got 8" in text and "\n" not in text


def test_an_input_of_one_channel():
    assert problem(Conv(1, 4), channels=1) is None


def test_modes_and_statistics_stay_as_they_were():
    layers = [Conv(3, 4), Conv(4, 4).eval(), nn.Softmax(1)]
    before = [part.training for layer in layers for part in layer.modules()]
    assert problem(*layers)[0] == 2
    assert [part.training for layer in layers for part in layer.modules()] == before
    assert layers[0].bn.num_batches_tracked == 0
