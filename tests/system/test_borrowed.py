"""A canary for each thing that other packages do not promise: its name tells what broke."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from synet.system import borrowed


def test_torch_still_puts_the_content_of_tensors_somewhere():
    """`synet.checkpoints.archive` cannot read a checkpoint without it."""
    content = torch.arange(4, dtype=torch.uint8).untyped_storage()
    for map_location in ("cpu", torch.device("cpu"), lambda storage, place: storage, None):
        assert borrowed.restorer(map_location)(content, "cpu") is content


def test_torch_still_has_contents_with_a_type():
    """`synet.checkpoints.archive` and `.tensors` make tensors of them."""
    content = torch.arange(3, dtype=torch.float32).untyped_storage()
    typed = borrowed.typed(content, torch.float32)
    assert typed.dtype == torch.float32
    assert borrowed.untyped(typed).data_ptr() == content.data_ptr()


def test_torch_still_tells_how_it_prints():
    """`synet.system.process` leaves that as it was after a fork has been read."""
    before = borrowed.print_options()
    try:
        torch.set_printoptions(precision=7)
        assert borrowed.print_options() == {**before, "precision": 7}
    finally:
        torch.set_printoptions(**before)
    assert borrowed.print_options() == before


def test_a_layer_of_torch_still_keeps_its_parts_under_the_names_that_checkpoints_have():
    """`synet.checkpoints` fills and checks them; they are the format of a saved module."""
    layer = nn.Sequential(nn.BatchNorm2d(2))
    layer.register_forward_pre_hook(hook := lambda *_: None)
    assert borrowed.hooks_before(layer) == [hook]
    assert {"_parameters", "_buffers", "_modules", "_forward_hooks"} <= vars(layer).keys()
    assert "_forward_hooks_always_called" in vars(layer)
    assert [*layer._modules.values()] == [*layer.children()]
    assert layer[0]._parameters.keys() == {"weight", "bias"}
    assert layer[0]._buffers.keys() >= {"running_mean", "running_var"}


def test_torch_still_calls_attention_by_the_names_that_are_looked_for():
    """`synet.safety.mend` puts a Mixer in place of what calls one of these."""
    assert callable(torch._native_multi_head_attention)
    assert callable(torch._transformer_encoder_layer_fwd)


def test_tensorflow_still_quantizes_a_file_that_has_its_ranges():
    """`synet.export.tensorflow` makes every int8 file with it, after a calibration of ours."""
    convert = pytest.importorskip("tensorflow.lite.python.convert")
    parameters = inspect.signature(convert.mlir_quantize).parameters
    assert next(iter(parameters)) == "input_data_str"
    assert {"input_data_type", "output_data_type"} <= parameters.keys()


def test_numpy_still_builds_arrays_under_the_names_that_checkpoints_have():
    """`synet.checkpoints.plain` knows them by ``numpy.core`` and ``numpy._core``."""
    rebuild, *_ = np.zeros(2).__reduce__()
    assert (rebuild.__module__, rebuild.__name__) in [
        (f"{core}.multiarray", "_reconstruct") for core in ("numpy.core", "numpy._core")
    ]
