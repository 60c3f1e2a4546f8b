"""What a lowering says that it builds, against the file that TensorFlow makes of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from keras_twin import export
from torch_calls import CALLS, Calling, label, short

from synet.chips import get_chip
from synet.export import registry as table
from synet.export.tensorflow import import_keras, to_float
from synet.safety.recorder import Recorder
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph

# The converter leaves out what does nothing, works out what is constant, and fuses.
SPARED = {"RESHAPE", "ADD", "MUL", "RELU6", "STRIDED_SLICE", "CONCATENATION"}
LOWERINGS = {id(lowering): function for function, lowering in table.TABLE.items()}


def recorded(module, inputs, chip="sabre"):
    recorder = Recorder(get_chip(chip))
    with torch.no_grad():
        with recorder:
            output = module(*[x.clone() for x in inputs])
        recorder.give(output)
    return recorder


@pytest.mark.parametrize("function", LOWERINGS.values(), ids=label)
def test_the_operations_of_a_lowering_are_those_of_its_file(function):
    keras = import_keras()
    for args, kwargs in CALLS[short(function)][-1:]:
        module = Calling(function, args, kwargs).eval()
        inputs = module.inputs
        if len(inputs) != 1:
            continue
        said = recorded(module, inputs)
        assert [p.text for p in said.problems if "exported" in p.text] == []
        model = export(module, *inputs, chip="sabre")
        joined = keras.Model(model.inputs, model.outputs)
        names = {name for name, _ in said.operations}
        try:
            real = {operator.name for operator in read_graph(to_float(joined)).operators}
        except SynetError as error:  # it does nothing, or what TFLite has not
            assert "no operations" in str(error) or "ARG_MAX" in names
            continue
        real = {"STRIDED_SLICE" if name == "SLICE" else name for name in real}
        assert real <= names and names - real <= SPARED, (label(function), args, kwargs)


def test_a_check_needs_neither_keras_nor_tensorflow():
    code = """
import sys
sys.modules.update(dict.fromkeys(("keras", "tensorflow", "ai_edge_litert")))
from torch import nn
from synet.safety.make_safe import check
network = nn.Sequential(nn.Conv2d(1, 8, 3, 2, dilation=2), nn.AdaptiveAvgPool2d((None, 1)))
print(*check(network, "katana"), check(network.append(nn.LogSoftmax(1)), "katana")[0].problem)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "log_softmax cannot be exported\n"
