from __future__ import annotations

import copy
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import int8_models
import numpy as np
import pytest
from click.testing import CliRunner
from small_tflite import packed, small, unpacked

from synet.chips import get_chip
from synet.cli import main
from synet.inspection.profile import profile
from synet.system.errors import SynetError
from synet.tflite.flatbuffer import read_content, read_file
from synet.tflite.graph import STATE
from synet.verdict.judge import judge


def quantization(**values):
    from ai_edge_litert import schema_py_generated as schema

    made = schema.QuantizationParametersT()
    vars(made).update(values)
    return made


def test_sound_files_are_given_as_they_are(shared):
    assert read_content(small()) == ("the TFLite model", small())
    for path in (shared / "models").glob("*.tflite"):
        assert read_content(path) == (str(path), path.read_bytes())


@pytest.mark.parametrize("make", [small, int8_models.good])
def test_files_that_are_cut_off(make):
    content = make()
    for length in range(8, len(content) - 8, len(content) // 50 + 1):
        with pytest.raises(SynetError, match=r"is damaged, make it again \(.*\)$"):
            read_content(content[:length])


def _tensor(**values):
    return lambda model: vars(model.subgraphs[0].tensors[1]).update(values)


def _operator(**values):
    return lambda model: vars(model.subgraphs[0].operators[0]).update(values)


def _graph(**values):
    return lambda model: vars(model.subgraphs[0]).update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_tensor(shape=[1, -2, 4, 1]), "tensor 1 has the shape 1x-2x4x1"),
        (_tensor(shape=[1] * 9), "tensor 1 has the shape 1x1x1x1x1x1x1x1x..."),
        (_tensor(shape=[2**31 - 1] * 4), "tensor 1 of 2147483647x.* takes .* MiB"),
        (_tensor(shape=[40_000, 40_000]), "tensor 1 of 40000x40000 takes 6,104 MiB"),
        (_tensor(buffer=7), "tensor 1 lies in buffer 7, which is not there"),
        (_tensor(type=99), "tensor 1 is of an unknown type"),
        (_tensor(quantization=quantization(scale=[float("nan")])), "tensor 1 has a scale of nan"),
        (_tensor(quantization=quantization(scale=[float("inf")])), "tensor 1 has a scale of inf"),
        (_tensor(quantization=quantization(scale=[-1.0])), "tensor 1 has a scale of -1"),
        (_tensor(quantization=quantization(scale=[0.0])), "tensor 1 has a scale of 0"),
        (_tensor(quantization=quantization(scale=[1.0] * 3)), "tensor 1 has 3 scales and 0 zero"),
        (
            _tensor(quantization=quantization(scale=[1.0], zeroPoint=[2**40])),
            "tensor 1 has a zero point of 1099511627776",
        ),
        (_operator(inputs=[2]), "operation 0 names a tensor that is not there"),
        (_operator(inputs=[-2]), "operation 0 names a tensor that is not there"),
        (_operator(outputs=[-1]), "operation 0 names a tensor that is not there"),
        (_operator(inputs=[1]), "operation 0 reads what no operation before it writes"),
        (_operator(opcodeIndex=1), "operation 0 is of a kind that is not there"),
        (_operator(outputs=[0]), "an output is written by no operation"),
        (_graph(outputs=[5]), "its output names a tensor that is not there"),
        (_graph(inputs=[-1]), "its input names a tensor that is not there"),
        (lambda model: setattr(model, "subgraphs", []), "it holds no graph"),
        (
            lambda model: vars(model.operatorCodes[0]).update(builtinCode=9999),
            "nobody knows operation 9999",
        ),
    ],
)
def test_numbers_that_cannot_be(change, message):
    model = unpacked(small())
    change(model)
    with pytest.raises(SynetError, match=rf"is damaged, make it again \({message}"):
        read_content(packed(model))


def test_a_file_with_a_state_is_judged(tmp_path):
    """A variable, which no operation writes and no constant fills; and a tensor without values."""
    model = unpacked(small())
    (graph,) = model.subgraphs
    for shape, variable in (([1, 2, 4, 1], True), ([0], False)):
        tensor = copy.copy(graph.tensors[0])
        tensor.shape, tensor.isVariable, tensor.name = shape, variable, f"state{len(shape)}"
        graph.tensors.append(tensor)
    graph.operators[0].inputs = [0, 2, 3]
    judged = judge(packed(model), get_chip("katana"))
    assert judged.peak_bytes == 3 * 32
    assert [held.layer for held in judged.fullest].count(STATE) == 2
    assert profile(packed(model), "katana").rows


@pytest.fixture(scope="module")
def for_the_npu(tmp_path_factory):
    """A file that Vela has compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    Path(folder, "model.tflite").write_bytes(int8_models.good())
    vela = [sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "."]
    command = [*vela, "--accelerator-config", "ethos-u55-128"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "model_vela.tflite"


@pytest.mark.parametrize(
    "command",
    ["profile", "summary", "sparsity", "latency", "evaluate", "report", "quantize"],
)
def test_a_file_that_vela_has_compiled_is_told_to_be_one(command, for_the_npu, tmp_path):
    data = tmp_path / "data.yaml"
    data.write_text(f"val: {tmp_path}\nnames: [a]\n")
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((48, 64, 3), np.uint8))
    with_data = ["--data", str(data)] if command in ("evaluate", "report") else []
    ran = CliRunner().invoke(main, [*command.split(), str(for_the_npu), *with_data])
    assert ran.exit_code == 2
    (line,) = ran.stderr.splitlines()
    assert line == (
        f"synet: {for_the_npu} is what Vela has made of a model for an Ethos-U, which only that "
        "can run; give the file that Vela was given"
    )


def test_a_file_that_refers_to_itself_without_end():
    """A vector of a million references to one table takes no time to refuse."""
    content = bytearray(small() + bytes(4 * 10**6 + 16))
    root = struct.unpack_from("<I", content, 0)[0]
    layout = root - struct.unpack_from("<i", content, root)[0]
    field = root + struct.unpack_from("<H", content, layout + 4 + 2 * 2)[0]  # the graphs
    table = field + struct.unpack_from("<I", content, field)[0] + 4
    table += struct.unpack_from("<I", content, table)[0]
    at = len(small()) + 3 & ~3
    struct.pack_into("<I", content, field, at - field)
    struct.pack_into("<I", content, at, 10**6 + 1)
    places = np.arange(at + 4, at + 4 + 4 * 10**6, 4, dtype=np.int64)
    content[at + 4 : at + 4 + 4 * 10**6] = (table - places).astype("<u4").tobytes()
    start = time.perf_counter()
    with pytest.raises(SynetError, match="more than 1,000,000 parts"):
        read_content(bytes(content))
    assert time.perf_counter() - start < 10


def test_weights_in_other_files_are_not_read():
    from ai_edge_litert import schema_py_generated as schema

    model, group = unpacked(small()), schema.ExternalBufferGroupT()
    group.name = "/etc/passwd"
    model.externalBufferGroups = [group]
    with pytest.raises(SynetError, match="it keeps weights in other files, which are not read"):
        read_content(packed(model))


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(SynetError, match=r"cannot read .*pipe\.tflite: it is no ordinary file"):
        read_content(tmp_path / "pipe.tflite")
    with (tmp_path / "huge.tflite").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SynetError, match=r"cannot read .*huge\.tflite: it is larger than 512 MiB"):
        read_content(tmp_path / "huge.tflite")
    with pytest.raises(SynetError, match="no file has such a name"):
        read_file("a\0b")
