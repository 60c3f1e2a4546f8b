"""Checkpoints that were saved before SyNet's modules got their places of today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import synet
from synet.checkpoints.read import classes_named, read

FOLDER = Path(__file__).with_name("saved_before")
MODELS = sorted(path.stem for path in FOLDER.glob("*-*.pt"))
SHAPE = (64, 96)
FIRST = 4000  # numbers of an answer that were kept


def tensors(found: Any) -> Iterator[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, dict):
        yield from tensors([found[key] for key in sorted(found)])
    elif isinstance(found, (list, tuple)):
        for each in found:
            yield from tensors(each)


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "answers.npz"))


def test_there_is_one_of_each_kind(answers):
    tasks = ("classify", "detect", "obb", "pose", "segment")
    assert {f"ultralytics-{task}" for task in tasks} <= {*MODELS} == {*answers}


@pytest.mark.parametrize("name", MODELS)
def test_a_network_answers_as_it_did(name, answers):
    network = synet.get_model(FOLDER / f"{name}.pt").float()
    channels = network.synet["channels"]
    image = torch.linspace(0, 1, channels * SHAPE[0] * SHAPE[1]).reshape(1, channels, *SHAPE)
    with torch.no_grad():
        found = torch.cat([each.float().flatten() for each in tensors(network(image))])
    np.testing.assert_allclose(found[:FIRST].numpy(), answers[name], rtol=1e-4, atol=1e-4)


def test_every_layer_is_found_by_the_name_that_it_had():
    file = FOLDER / "layers.pt"
    named = {name for name in classes_named(file) if name.startswith("synet.")}
    found = {f"{type(m).__module__}.{type(m).__qualname__}" for m in read(file)["model"].modules()}
    assert len(named) > 20 and named <= found
