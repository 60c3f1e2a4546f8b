"""The example of each public function gives what it shows."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import tiny_yolo
import torch

import synet
from synet.data.drawn_shapes import draw_dataset

PAGE = (Path(__file__).parent.parent / "docs/api.md").read_text(encoding="utf-8")


def named(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


# The functions that the page lists; `quantize_model` makes the best.tflite that the others use.
LISTED = re.findall(r"^::: (\S+)$", PAGE, re.MULTILINE)
FUNCTIONS = [name for name in LISTED if inspect.isfunction(named(name))] + ["synet.askeras"]
FUNCTIONS.sort(key=lambda name: name != "synet.quantize_model")


def examples(name: str) -> doctest.DocTest:
    function = named(name)
    module = import_module(function.__module__)
    (found,) = doctest.DocTestFinder(recurse=False).find(function, name, module, {"synet": synet})
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
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
    for name in FUNCTIONS:
        runner.run(examples(name), out=told.append)
    assert not runner.failures, "".join(told)
