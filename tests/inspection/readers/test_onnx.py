from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from refused_models import refused_by

from synet.inspection.readers import onnx as reader
from synet.inspection.readers.formats import ModelSource
from synet.inspection.readers.onnx import kernels, layers
from synet.system.errors import SynetError

refused = partial(refused_by, reader)


def model(*nodes, **constants):
    """A graph of one image, with constants by name."""
    image, found = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, 8, 8]), ("found", None))
    )
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return helper.make_model(helper.make_graph(list(nodes), "g", [image], [found], stored))


def convolution():
    node = helper.make_node("Conv", ["image", "weight"], ["found"], kernel_shape=[3, 3])
    return model(node, weight=np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3))


def outside(path, location, **told):
    """The convolution, with its weights in another file."""
    made = convolution()
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **told}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(made.SerializeToString())
    return path


def test_weights_in_the_models_folder_are_read(tmp_path):
    (weights,) = convolution().graph.initializer
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"head" + weights.raw_data + b"tail")
    path = outside(tmp_path / "m.onnx", "weights/w.bin", offset="4", length="432")
    (kernel,) = kernels(ModelSource(path))
    np.testing.assert_array_equal(kernel.weights, np.arange(108).reshape(4, 27))
    (layer,) = layers(ModelSource(path))
    assert (layer.shape, layer.parameters, layer.macs) == ((1, 4, 6, 6), 108, 36 * 108)


def test_weights_elsewhere_are_not(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (weights,) = convolution().graph.initializer
    secret = tmp_path / "secret.bin"
    secret.write_bytes(weights.raw_data)
    (folder / "link.bin").symlink_to(secret)
    (folder / "up").symlink_to(tmp_path)
    for place in (
        secret,
        "../secret.bin",
        "link.bin",
        "up/secret.bin",
        "a/../../secret.bin",
        "",
        "a\0",
    ):
        refused(outside(folder / "m.onnx", str(place)), "outside of its folder, which is not read")
    for place in ("/dev/zero", "/etc/passwd"):
        refused(outside(folder / "m.onnx", place), "outside of its folder, which is not read")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"offset": "-1"}, "has no weights at byte -1"),
        ({"offset": "9" * 15}, "has no weights at byte 999,999,999,999,999"),
        ({"length": "8"}, "is damaged, or no ONNX file"),
        ({"offset": "many"}, "is damaged, or no ONNX file"),
    ],
)
def test_weights_that_are_not_there(tmp_path, told, message):
    (tmp_path / "w.bin").write_bytes(bytes(432))
    refused(outside(tmp_path / "m.onnx", "w.bin", **told), message)
    (tmp_path / "w.bin").unlink()
    refused(outside(tmp_path / "m.onnx", "w.bin"), "No such file")


@pytest.mark.parametrize("dims", [[2**40, 3, 3, 3], [2**62, 2**62]])
def test_a_shape_of_terabytes(tmp_path, dims):
    made, path = convolution(), tmp_path / "m.onnx"
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend(dims)
    path.write_bytes(made.SerializeToString())
    refused(path, "is damaged, or no ONNX file")


def test_what_ends_the_shape_inference_ends_no_process_of_ours(tmp_path):
    """A pool whose window is larger than its image: an assertion in C++."""
    nodes = [
        helper.make_node("Shape", ["image"], ["sides"], start=2**62, end=-(2**63)),
        helper.make_node("Slice", ["sides", "at", "at", "at"], ["part"]),
        helper.make_node("ConstantOfShape", ["part"], ["found"]),
    ]
    path = tmp_path / "m.onnx"
    for start in (0, 2**62, -(2**63)):
        made = model(*nodes, at=np.array([start]))
        path.write_bytes(made.SerializeToString())
        try:
            assert layers(ModelSource(path))
        except SynetError as error:
            assert "is damaged" in str(error) and "\n" not in str(error)


def test_nodes_that_lack_what_they_need(tmp_path):
    path = tmp_path / "m.onnx"
    for node in (
        helper.make_node("Constant", [], ["found"]),
        helper.make_node("DequantizeLinear", [], ["found"]),
        helper.make_node("Constant", [], [], value=numpy_helper.from_array(np.ones(1))),
    ):
        path.write_bytes(model(node).SerializeToString())
        refused(path, "is damaged, or no ONNX file")


def field(head, content):
    """A message within another, as protobuf writes it."""
    size, told = len(content), b""
    while size >= 128:
        told, size = told + bytes([size % 128 | 128]), size // 128
    return bytes([head]) + told + bytes([size]) + content


def test_depth_without_end(tmp_path):
    """Types of sequences of types, 1,000 of them, as that of an input of the graph."""
    inner = b""
    for _ in range(1000):
        inner = field(0x22, field(0x0A, inner))
    for head in (0x12, 0x5A, 0x3A):
        inner = field(head, inner)
    path = tmp_path / "m.onnx"
    path.write_bytes(convolution().SerializeToString() + inner)
    refused(path, "is damaged, or no ONNX file")
