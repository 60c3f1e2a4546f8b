from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path

import int8_models
import numpy as np
import pytest
import tiny_ultralytics
import tiny_yolo
import torch
from click.testing import CliRunner
from torch import nn

from synet import zoo
from synet.cli import main
from synet.custom_patches import unpatch
from synet.export.convert import to_keras
from synet.inspection.readers import network
from synet.inspection.readers.formats import Layer, ModelSource
from synet.inspection.summary import Summary, summarize
from synet.models.get_model import get_model, to_tflite_bytes
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph

onnx = pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def no_patch_is_left():
    yield
    unpatch()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network in every format that it can have."""
    folder = tmp_path_factory.mktemp("tiny")
    path = tiny_yolo.write(folder)
    model = get_model(path)
    to_keras(model, tiny_yolo.SHAPE, 1).save(folder / "tiny.keras")
    (folder / "tiny.tflite").write_bytes(to_tflite_bytes(path))
    unpatch()
    return folder


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def by_name(found):
    layers = {layer.name: layer for layer in found.layers}
    assert len(layers) == len(found.layers)
    return layers


# --- torch --------------------------------------------------------------------------------------


def test_a_yaml(files):
    path = files / "tiny.yaml"
    found, graph = summarize(path), read_graph(files / "tiny.tflite")
    assert found.parameters == parameters(get_model(path))
    assert found.macs == graph.macs and found.unknown == 0
    assert (found.layout, found.file_bytes) == ("NCHW", None)
    layers = by_name(found)
    stem = layers["model.1.first.conv"]
    assert stem == Layer("model.1.first.conv", "Conv2d", (1, 4, 32, 48), 36, 32 * 48 * 36)
    assert layers["model.5"].kind == "Cat" and layers["model.5"].shape == (1, 32, 8, 12)
    assert found.layers[0].name == "model.0" and found.layers[-1].name.startswith("model.7.")
    assert summarize(path, (128, 192)).macs == 4 * found.macs


def test_a_name_from_the_zoo():
    name = "katana-kqvga"
    claims = zoo.claims(zoo.read_definition(zoo.model_path(name)))
    found = summarize(name)
    assert (found.parameters, found.macs) == (claims.parameters, claims.macs)


def test_a_checkpoint_needs_an_image_shape(tmp_path):
    importlib.import_module("synet.patches.process").patch_custom("sabre", fixed=False)
    model = tiny_ultralytics.network("detect")
    path = tiny_ultralytics.save(model, tmp_path / "ä b.pt")
    with pytest.raises(SynetError, match="ä b.pt: says nothing of its image shape; give --image"):
        summarize(path)
    found = summarize(path, tiny_ultralytics.SHAPE)
    assert found.parameters == parameters(model)
    assert found.file_bytes == path.stat().st_size


class Odd(nn.Module):
    """Multiplies itself, has a parameter of its own, shares a layer, and one that does not run."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.same = self.conv
        self.idle = nn.Linear(2, 2)
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.twin = nn.Conv2d(3, 4, 1, bias=False)
        self.twin2 = nn.Conv2d(3, 4, 1, bias=False)
        self.twin2.weight = self.twin.weight

    def forward(self, x):
        y = self.conv(x) + self.same(x) + self.twin(x) + self.twin2(x)
        return nn.functional.conv2d(y * self.gain, self.conv.weight.new_ones(1, 4, 1, 1))


def test_modules_that_are_no_plain_layers(monkeypatch):
    model = Odd()
    monkeypatch.setattr(network, "load_network", lambda *_: (model, (8, 8)))
    monkeypatch.setattr(network, "image_channels", lambda _: 3)
    found = network.layers(ModelSource("odd"))
    pixels = 64
    assert [(layer.name, layer.parameters, layer.macs) for layer in found] == [
        ("conv", 112, 2 * pixels * 108),
        ("twin", 12, pixels * 12),
        ("twin2", 0, pixels * 12),
        ("", 4, pixels * 4),
        ("idle", 6, 0),
    ]
    assert found[-1].shape == () and found[-2].shape == (1, 1, 8, 8)


# --- keras --------------------------------------------------------------------------------------


def test_an_exported_keras_model(files):
    keras = importlib.import_module("keras")
    path = files / "tiny.keras"
    found, torchs = summarize(path), summarize(files / "tiny.yaml")
    assert found.parameters == keras.saving.load_model(path).count_params()
    assert found.macs == torchs.macs and found.layout == "NHWC"
    layers = by_name(found)
    for name in ("model.1.first.conv", "model.3.depthwise.conv"):
        wanted = by_name(torchs)[name]
        n, c, h, w = wanted.shape
        assert (layers[name].shape, layers[name].macs) == ((n, h, w, c), wanted.macs)
    with pytest.raises(SynetError, match=r"made for images of \(64, 96\), not \(8, 8\)"):
        summarize(path, (8, 8))


@pytest.fixture
def save(tmp_path):
    """Save a Keras model and return its path."""
    keras = importlib.import_module("keras")

    def save(*layers, shape=(8, 8, 4)):
        path = tmp_path / "model.keras"
        keras.Sequential([keras.Input(shape), *layers]).save(path)
        return path

    return keras.layers, save


def test_the_multiplications_of_keras_layers(save):
    layers, make = save
    path = make(
        layers.Conv2D(6, 3, groups=2, padding="same"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.Conv2DTranspose(5, 2, strides=2),
        layers.SeparableConv2D(7, 3, padding="same"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(10),
    )
    found = summarize(path)
    assert [layer.macs for layer in found.layers] == [
        64 * 6 * 9 * 2,
        64 * 12 * 9,
        64 * 12 * 5 * 4,
        256 * (5 * 9 + 5 * 7),
        0,
        7 * 10,
    ]
    assert found.layers[0].shape == (None, 8, 8, 6)
    shown = CliRunner().invoke(main, ["summary", str(path)]).output
    assert "?x8x8x6" in shown


def test_what_cannot_be_told_is_not_guessed(save):
    layers, make = save
    found = summarize(make(layers.Reshape((16, 16)), layers.LSTM(4)))
    assert [layer.macs for layer in found.layers] == [0, None]
    assert found.unknown == 1 and "0.00 MMAC and those of 1 more" in found.totals()


def test_layers_of_a_keras_model_within_one(save):
    layers, make = save
    keras = importlib.import_module("keras")
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(3, 3, name="within")])
    assert [layer.name for layer in summarize(make(inner, layers.ReLU())).layers][0] == "within"


def test_models_of_several_inputs(tmp_path):
    keras = importlib.import_module("keras")
    two = [keras.Input((4,)), keras.Input((4,))]
    keras.Model(two, keras.layers.Add()(two)).save(tmp_path / "two.keras")
    tensors = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "abc"]
    add = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    graph = onnx.helper.make_graph([add], "g", tensors[:2], tensors[2:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "two.onnx")
    for name in ("two.keras", "two.onnx"):
        with pytest.raises(SynetError, match=f"{name} takes 2 inputs; only models of one"):
            summarize(tmp_path / name)


def test_a_keras_file_never_runs_code(save):
    layers, make = save
    path = make(layers.Lambda(lambda x: x))
    with pytest.raises(SynetError, match="holds a Lambda, which is code; nothing of it was run"):
        summarize(path)
    path = make(layers.ReLU())
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    config["config"]["layers"][-1] |= {"module": "subprocess", "class_name": "Popen"}
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(SynetError, match=r"needs subprocess\.Popen, which is no layer of Keras"):
        summarize(path)


# --- tflite -------------------------------------------------------------------------------------


def test_a_tflite_file(tmp_path):
    path = tmp_path / "good.tflite"
    path.write_bytes(int8_models.good())
    graph, found = read_graph(path), summarize(path)
    assert found.macs == graph.macs and found.layout == "NHWC"
    assert [layer.name for layer in found.layers] == [op.layer for op in graph.operators]
    assert found.layers[0].shape == (1, 24, 32, 8)
    assert found.layers[0].parameters == 8 * 9 + 8
    assert found.file_bytes == path.stat().st_size
    with pytest.raises(SynetError, match=r"made for images of \(48, 64\)"):
        summarize(path, (64, 48))


def test_shapes_and_axes_are_no_parameters(files):
    """Of the torch model: all but batch norms, which become a bias each; and constants of boxes."""
    model = get_model(files / "tiny.yaml")
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    wanted = sum(m.weight.numel() + m.out_channels for m in convolutions)
    found = [x for x in summarize(files / "tiny.tflite").layers if "CONV" in x.kind]
    assert sum(layer.parameters for layer in found) == wanted


# --- onnx ---------------------------------------------------------------------------------------


def sequence():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ConvTranspose2d(8, 4, 2, 2)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Of fixed size, and of any size."""
    folder = tmp_path_factory.mktemp("onnx")
    for name, axes in (("fixed", None), ("any", {"image": {0: "n", 2: "h", 3: "w"}})):
        torch.onnx.export(
            sequence(),
            torch.zeros(1, 3, 16, 24),
            folder / f"{name}.onnx",
            input_names=["image"],
            dynamic_axes=axes,
            dynamo=False,
        )
    return folder


@pytest.mark.parametrize("name", ["fixed", "any"])
def test_an_onnx_file(name, exported):
    found = summarize(exported / f"{name}.onnx", (16, 24))
    model = sequence()
    assert found.parameters == parameters(model) and found.layout == "NCHW"
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 16, 24))
    assert found.macs == counter.get_total_flops() // 2
    layers = by_name(found)
    assert layers["0"].shape == (1, 8, 8, 12) and layers["2.1"].kind == "ConvTranspose"


def test_an_onnx_file_and_its_image_shape(exported):
    assert (
        summarize(exported / "fixed.onnx").layers
        == summarize(exported / "any.onnx", (16, 24)).layers
    )
    with pytest.raises(SynetError, match="any.onnx: says nothing of its image shape; give --image"):
        summarize(exported / "any.onnx")
    with pytest.raises(SynetError, match=r"made for images of \(16, 24\), not \(8, 8\)"):
        summarize(exported / "fixed.onnx", (8, 8))


def test_a_quantized_onnx_file(tmp_path):
    """Weights stand behind a node that takes them out of int8."""
    helper, tensors = onnx.helper, onnx.TensorProto
    values = {
        "weight": np.ones((2, 3, 1, 1), np.int8),
        "scale": np.float32(0.1),
        "zero": np.int8(1),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["w"]),
        helper.make_node("Conv", ["image", "w"], ["y"], name="/model.0/model.0.1/Conv"),
    ]
    image, y = (
        helper.make_tensor_value_info(name, tensors.FLOAT, shape)
        for name, shape in (("image", [1, 3, 4, 4]), ("y", [1, 2, 4, 4]))
    )
    constants = [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()]
    path = tmp_path / "int8.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [image], [y], constants)), path)
    (layer,) = summarize(path).layers
    assert layer == Layer("model.0.1", "Conv", (1, 2, 4, 4), 6, 16 * 2 * 3)


# --- what is no model ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".keras", ".tflite", ".onnx", ".yaml"])
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder"])
def test_what_is_no_model_is_told_in_one_line(suffix, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(f"no model{suffix}")
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("hello\n" if kind == "text" else "")
    for command in ("summary", "sparsity"):
        result = CliRunner().invoke(main, [command, str(path)])
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("synet: ") and str(path) in line


def test_damaged_files(files, exported, tmp_path):
    for source in (files / "tiny.keras", files / "tiny.tflite", exported / "fixed.onnx"):
        path = tmp_path / source.name
        path.write_bytes(source.read_bytes()[:-900])
        with pytest.raises(SynetError, match=f"{path}.*damaged"):
            summarize(path)


def test_weights_beside_an_onnx_file_that_are_gone(exported, tmp_path):
    path = tmp_path / "large.onnx"
    options = {"save_as_external_data": True, "location": "large.bin", "size_threshold": 0}
    onnx.save(onnx.load(exported / "fixed.onnx"), path, **options)
    assert summarize(path).layers == summarize(exported / "fixed.onnx").layers
    (tmp_path / "large.bin").unlink()
    with pytest.raises(SynetError, match="large.onnx") as caught:
        summarize(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.txt", "model.h5"])
def test_other_formats(name, tmp_path):
    with pytest.raises(SynetError, match=f"{name}: is no model; give a name of the zoo or a file"):
        summarize(tmp_path / name)


# --- the command --------------------------------------------------------------------------------


def test_the_command_ends_in_totals(files):
    result = CliRunner().invoke(main, ["summary", str(files / "tiny.tflite")])
    assert result.exit_code == 0
    found = summarize(files / "tiny.tflite")
    last = result.output.splitlines()[-1]
    assert last == found.totals()
    assert f"{found.parameters:,} parameters" in last and f"{found.file_bytes:,} bytes" in last
    assert "output (NHWC)" in result.output and "model.1.first.conv" in result.output


def test_totals():
    layers = (Layer("a", "A", (1,), 1000, 2_000_000), Layer("b", "B", (), 1, None))
    found = Summary("m", "NCHW", layers, 5000)
    assert found.totals() == (
        "2 layers, 1,001 parameters, 2.00 MMAC and those of 1 more, file of 5,000 bytes"
    )
