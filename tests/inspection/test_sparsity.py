from __future__ import annotations

import int8_models
import numpy as np
import pytest
import tiny_yolo
import torch
from click.testing import CliRunner
from torch import nn

from synet.cli import main
from synet.custom_patches import unpatch
from synet.export.convert import to_keras
from synet.inspection.readers import network
from synet.inspection.readers.formats import matrix
from synet.inspection.sparsity import Sparsity, Zeros, sparsity
from synet.models.get_model import get_model, to_tflite_bytes
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph


@pytest.fixture(autouse=True)
def no_patch_is_left():
    yield
    unpatch()


EMPTY, PRUNED = "model.2.conv", "model.3.expand.conv"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint in which a layer lacks three channels and another half of its weights."""
    folder = tmp_path_factory.mktemp("pruned")
    path = tiny_yolo.write(folder)
    model = get_model(path)
    modules = dict(model.named_modules())
    with torch.no_grad():
        modules[EMPTY].weight[:3] = 0
        modules[PRUNED].weight[:, ::2] = 0
    torch.save({"model": model}, folder / "pruned.pt")
    to_keras(model, tiny_yolo.SHAPE, 1).save(folder / "pruned.keras")
    (folder / "pruned.tflite").write_bytes(to_tflite_bytes(folder / "pruned.pt", tiny_yolo.SHAPE))
    unpatch()
    return folder


def layer(found, name):
    (chosen,) = (each for each in found.layers if each.layer == name)
    return chosen


@pytest.mark.parametrize("suffix", [".pt", ".keras", ".tflite"])
def test_zeros_are_counted_in_every_format(suffix, files):
    found = sparsity(files / f"pruned{suffix}")
    empty, pruned = layer(found, EMPTY).counted, layer(found, PRUNED).counted
    assert (empty.weights, empty.channels, empty.empty_channels) == (16 * 8 * 9, 16, 3)
    assert (pruned.weights, pruned.channels, pruned.empty_channels) == (32 * 16, 32, 0)
    if suffix == ".tflite":  # small weights round to zero, too
        assert empty.zeros >= 3 * 8 * 9 and pruned.share >= 0.5
    else:
        assert (empty.zeros, pruned.share) == (3 * 8 * 9, 0.5)
        assert found.total.zeros == empty.zeros + pruned.zeros


def test_weights_are_kernels_and_nothing_else(files):
    model = get_model(files / "tiny.yaml")
    kernels = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert sparsity(files / "tiny.yaml").total.weights == sum(kernels)
    assert sparsity(files / "pruned.keras").total.weights == sum(kernels)
    assert sparsity(files / "pruned.tflite").total.weights == sum(kernels)


def test_the_vendors_models(shared):
    for path in sorted((shared / "models").glob("*.tflite")):
        graph, found = read_graph(path), sparsity(path)
        shapes = [graph.tensors[op.weights].shape for op in graph.operators if op.weights]
        assert found.total.weights == sum(map(np.prod, shapes))
        assert 0 < found.total.share < 0.05 and found.total.empty_channels == 0


def test_a_zero_of_uint8_is_the_zero_point():
    kernel = network.Kernel("a", "Conv", (2, 1, 1, 2), np.array([[3, 3], [0, 3]], np.uint8), 3)
    from synet.inspection.sparsity import _counted

    assert _counted(kernel).counted == Zeros(4, 3, 2, 1)


def test_channels_of_the_output_come_first():
    """Each channel of the output marked by its number."""
    weights = np.zeros((3, 3, 2, 4), int) + np.arange(4)  # Keras: height, width, in, out
    assert (matrix(weights, 3) == np.arange(4)[:, None]).all()
    depthwise = np.zeros((3, 3, 2, 4), int) + np.arange(8).reshape(2, 4)
    assert (matrix(depthwise, 2, 3) == np.arange(8)[:, None]).all()


def test_onnx(tmp_path):
    pytest.importorskip("onnx")
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 2, 2), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    with torch.no_grad():
        model[0].weight[1] = 0
        model[1].weight[:, 2] = 0
        model[3].weight[:, :32] = 0
    path = tmp_path / "m.onnx"
    torch.onnx.export(model, torch.zeros(1, 3, 4, 4), path, dynamo=False)
    found = sparsity(path)
    assert [each.layer for each in found.layers] == ["0", "1", "3"]
    conv, transposed, linear = (each.counted for each in found.layers)
    assert conv == Zeros(8 * 27, 27, 8, 1)
    assert transposed == Zeros(8 * 4 * 4, 8 * 4, 4, 1)
    assert linear == Zeros(64 * 5, 32 * 5, 0, 0)


# --- which layers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ([EMPTY], {EMPTY}),
        (["model.2"], {EMPTY}),
        (["model.2", "", PRUNED], {EMPTY, PRUNED}),
        (["model.?.conv"], {EMPTY}),
        (["model.3.*", "model.3"], {f"model.3.{part}.conv" for part in
                                    ("expand", "depthwise", "project")}),
    ],
)  # fmt: skip
def test_layers_are_chosen_by_name_start_or_pattern(layers, wanted, files):
    found = sparsity(files / "pruned.tflite", layers)
    assert {each.layer for each in found.layers} == wanted


@pytest.mark.parametrize(
    ("name", "hint"),
    [("model.2.conf", "did you mean model.2.conv"), ("model.33", "did you mean .*model.3"),
     ("model", None), ("zzzz", "the first is model.1.first.conv")],
)  # fmt: skip
def test_a_layer_that_is_not_there(name, hint, files):
    if hint is None:
        assert sparsity(files / "pruned.tflite", [name]).layers
        return
    with pytest.raises(SynetError, match=f"no layer '{name}' has weights; {hint}"):
        sparsity(files / "pruned.tflite", [name])


# --- the command --------------------------------------------------------------------------------


def run(*arguments):
    result = CliRunner().invoke(main, ["sparsity", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_types_or_layers(files):
    path = files / "pruned.tflite"
    short, long = run(path), run(path, "-v")
    assert "DEPTHWISE_CONV_2D" in short and EMPTY not in short
    (row,) = (line for line in long.splitlines() if EMPTY in line)
    assert "16x3x3x8" in row and "3 of 16" in row and "1,152" in row
    assert short.splitlines()[-1] == long.splitlines()[-1] == sparsity(path).summary()


def test_totals_of_some_layers(files):
    last = run(files / "pruned.pt", "--layers", f"{EMPTY}, {PRUNED}").splitlines()[-1]
    assert last == (
        "472 of 1,664 weights are zero (28.4%); 3 of 48 output channels of convolutions are "
        "wholly zero (6.2%)"
    )


def test_int8_models_add_up(tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(int8_models.bad())
    found = sparsity(path)
    kinds = found.kinds()
    assert set(kinds) == {"CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}
    assert sum(kinds.values(), Zeros()) == found.total
    assert kinds["FULLY_CONNECTED"].channels == 0
    assert Sparsity("none", ()).total.share == 0
