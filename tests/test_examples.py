"""The example of each public function gives what it shows."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path

import pytest
import tiny_yolo
import torch

import synet
from synet.data.drawn_shapes import draw_dataset

# `quantize_model` makes the best.tflite that the others use.
NAMES = sorted(set(synet.__all__) - {"as_keras"}, key=lambda name: name != "quantize_model")


def examples(name: str) -> doctest.DocTest:
    function = getattr(synet, name)
    module = importlib.import_module(function.__module__)
    (found,) = doctest.DocTestFinder(recurse=False).find(
        function, f"synet.{name}", module, {"synet": synet}
    )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_public_function_has_an_example(name):
    assert examples(name).examples


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A user's folder: a data set, a checkpoint of a tiny model, a photo."""
    draw_dataset(tmp_path, train=2, val=2, test=2, shape=(120, 160)).rename(tmp_path / "my.yaml")
    shutil.copy(tmp_path / "images/val/0000.jpg", tmp_path / "street.jpg")
    torch.manual_seed(0)
    network = synet.get_model(tiny_yolo.write(tmp_path), nc=3)
    network.names = ["circle", "square", "triangle"]
    torch.save({"model": network, "epoch": -1}, tmp_path / "best.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_give_what_they_show(workplace):
    """One test, so that one process makes the files for all."""
    runner, told = doctest.DocTestRunner(), []
    for name in NAMES:
        runner.run(examples(name), out=told.append)
    assert not runner.failures, "".join(told)
