from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from synet.layerwise.dump import Dump
from synet.system.errors import SynetError
from synet.system.files import atomic_folder
from synet.tflite.graph import Graph, Operator, Tensor


def graph_of(*layers):
    """A chain of layers, int8."""
    tensors = tuple(
        Tensor(f"tensor {at}", (1, 2, 3, 1), "int8", 6, (0.5,), (-3,))
        for at in range(len(layers) + 1)
    )
    chain = tuple(Operator("RELU", name, (at,), (at + 1,)) for at, name in enumerate(layers))
    return Graph(tensors, chain, (0,), (len(layers),))


def dumped(folder, graph, images, kinds=("int8", "float")):
    random = np.random.default_rng(0)
    files = Dump(folder, graph, images)
    given = []
    for _ in images:
        given.append({})
        for number in range(len(graph.written())):
            values = random.integers(-128, 128, (1, 2, 3, 1)).astype(np.int8)
            given[-1][number] = values
            for kind in kinds:
                files.add(number, kind, values if kind == "int8" else values / np.float32(2))
    files.finish([{"layer": "x", "own": 1.5}] if len(kinds) == 2 else [])
    return given


def load(file):
    return np.load(file, allow_pickle=False)


def test_the_images_follow_each_other(tmp_path):
    given = dumped(tmp_path, graph_of("model.0.conv", "model.1"), [Path("a.png"), Path("ü.png")])
    names = ["000-input.npy", "001-model.0.conv.npy", "002-model.1.npy"]
    for kind, dtype in (("int8", np.int8), ("float", np.float32)):
        assert sorted(os.listdir(tmp_path / kind)) == names
        for number, name in enumerate(names):
            values = load(tmp_path / kind / name)
            assert values.dtype == dtype and values.shape == (2, 2, 3, 1)
            scale = 1 if kind == "int8" else 0.5
            np.testing.assert_array_equal(
                values, np.concatenate([x[number] for x in given]) * scale
            )
    told = json.loads((tmp_path / "layers.json").read_text("utf-8"))
    assert told["images"] == ["a.png", "ü.png"]
    assert told["layers"][1] == {
        "number": 1,
        "layer": "model.0.conv",
        "op": "RELU",
        "tensor": "tensor 1",
        "shape": [1, 2, 3, 1],
        "dtype": "int8",
        "scale": 0.5,
        "zero_point": -3,
        "int8": "int8/001-model.0.conv.npy",
        "float": "float/001-model.0.conv.npy",
    }
    assert (tmp_path / "errors.csv").read_text("utf-8").splitlines() == ["layer,own", "x,1.5"]


def test_one_kind_alone(tmp_path):
    dumped(tmp_path, graph_of("model.0"), [Path("a.png")], kinds=("int8",))
    assert sorted(os.listdir(tmp_path)) == ["int8", "layers.json"]
    told = json.loads((tmp_path / "layers.json").read_text("utf-8"))
    assert [layer.get("float") for layer in told["layers"]] == [None, None]


def test_a_number_that_is_no_array(tmp_path):
    files = Dump(tmp_path, graph_of("model.0"), [Path("a.png"), Path("b.png")])
    for value in (3.5, 4.5):
        files.add(0, "float", np.float32(value))
    assert load(tmp_path / "float" / "000-input.npy").tolist() == [3.5, 4.5]


ODD = ["Mul_8 (after model.17.act)", "a/b\\c:d*e?", "..", "CON", "x" * 300, "scores;ümlaut ", ""]


def test_names_that_every_file_system_takes(tmp_path):
    dumped(tmp_path, graph_of(*ODD, *ODD), [Path("a.png")])
    names = sorted(os.listdir(tmp_path / "int8"))
    assert len({name.lower() for name in names}) == 1 + 2 * len(ODD)
    assert names[1] == "001-Mul_8_after_model.17.act.npy"
    for name in names:
        assert name.isascii() and len(name) < 120 and not set(name) & set(' <>:"/\\|?*()')
        assert name[:4].rstrip("-").isdigit() and name[4] not in "._-"


def test_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with (
            pytest.raises(SynetError, match="cannot write .*out: File too large"),
            atomic_folder(tmp_path / "out") as private,
        ):
            files = Dump(private, graph_of("model.0"), [Path("a.png")])
            files.add(0, "float", np.zeros(5000, np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
