"""A broken model is refused where its checkpoint is opened, in one line that says what is wrong."""

from __future__ import annotations

import broken
import pytest
import torch
from torch import nn

from synet.checkpoints import read as checkpoint
from synet.checkpoints.sound import built_for, noted_size, trained_model
from synet.system.errors import CheckpointError


def opened(file):
    return trained_model(checkpoint.read(file, forkless=True), file)


def saved(tmp_path, change=lambda model, content: None):
    model = broken.sound()
    content = {"model": model, "train_args": {"imgsz": 64}}
    change(model, content)
    torch.save(content, tmp_path / "best.pt")
    return tmp_path / "best.pt"


def test_a_sound_model_comes_as_it_was(tmp_path):
    wanted = broken.sound()
    found = opened(saved(tmp_path))
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(found(image), wanted(image))
    for layer in found.modules():
        assert not layer._forward_pre_hooks


def test_the_average_of_the_weights_goes_first(tmp_path):
    average = broken.sound()
    average.names = {0: "c", 1: "d"}
    file = saved(tmp_path, lambda model, content: content.update(ema=average.half()))
    found = opened(file)
    assert found.names == average.names
    assert next(found.parameters()).dtype is torch.float32


@pytest.mark.parametrize("name", broken.CHECKPOINTS)
def test_broken_models(tmp_path, name):
    file = broken.write(tmp_path / "best.pt", name)
    with pytest.raises(CheckpointError) as caught:
        opened(file)
    message = str(caught.value)
    assert message.isprintable() and "best.pt" in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "stride (1, 1, 1)": "model.1.0: its stride is (1, 1, 1), not a whole number",
        "weight of another shape": "model.1.0.weight is 8x3x3x3, not 8x8x3x3",
        "whole weights": "model.1.0.weight is of torch.int32, not of real numbers",
        "weight that is no number": "model.1.0.weight holds what is no finite number",
        "module in itself": "model.1.again lies in itself",
        "no mean": "model.1.1 has no running_mean",
        "row from 7": "row 4 takes its input from row 7",
        "empty Sequential": "it has no layers",
        "forward is data": "model.1: its forward is 5, not a method",
        "image size [0, 0]": "train_args: imgsz is (0, 0), not a whole number, 1 to 8192",
        "yaml None": "its yaml is None, not a definition of a model",
        "names 5": "its names is 5, not a name for each class",
    }.items(),
)
def test_what_is_broken_is_told(tmp_path, name, said):
    with pytest.raises(CheckpointError) as caught:
        opened(broken.write(tmp_path / "best.pt", name))
    assert said in str(caught.value)


class Fails(nn.Module):
    def forward(self, x):
        raise ValueError("only rows of\n25 \x1b[31mcolumns")


def test_a_pass_that_fails_is_one_line(tmp_path):
    model = broken.sound()
    model.model[2] = Fails()
    model.model[2].i, model.model[2].f = 2, -1
    with pytest.raises(CheckpointError) as caught:
        trained_model({"model": model}, "best.pt")
    assert str(caught.value) == ("best.pt: its network fails on an image of 64x64: only rows of")


class OfOneSize(nn.Module):
    def forward(self, x):
        assert x.shape[2:] == (48, 40)
        return x


def test_a_model_of_one_size_runs_at_it():
    model = broken.sound()
    model.model[2] = OfOneSize()
    model.model[2].i, model.model[2].f = 2, -1
    model.model[3] = nn.Identity()
    model.model[3].i, model.model[3].f = 3, -1
    content = {"model": model, "train_args": {"imgsz": [96, 80]}}
    assert trained_model(content, "best.pt") is model


def test_a_model_that_grows_without_end(tmp_path):
    """Each of its layers is what a network may have."""
    model = broken.sound()
    for index in (1, 2, 3):
        model.model[index] = nn.Upsample(scale_factor=16)
        model.model[index].i, model.model[index].f = index, -1
    with pytest.raises(CheckpointError, match=r"its model\.2 makes more than 512 numbers for each"):
        trained_model({"model": model}, "best.pt")


@pytest.mark.parametrize(
    ("notes", "size"),
    [
        ({}, None),
        (None, None),
        ({"imgsz": 64}, 64),
        ({"imgsz": [64, 96]}, (64, 96)),
        ({"img_size": [640, 320]}, 640),
        ({"imgsz": None, "img_size": 32}, 32),
    ],
)
def test_noted_sizes(notes, size):
    assert noted_size(notes, "opt") == size


@pytest.mark.parametrize("content", [{}, {"model": 5}, {"model": nn.Identity()}])
def test_no_chip_is_noted(content):
    assert built_for(content, "best.pt") == {}


def test_the_chip_of_a_checkpoint():
    model = broken.sound()
    assert built_for({"ema": None, "model": model}, "best.pt")["chip"] == "katana"
    model.synet = {"chip": 5}
    with pytest.raises(CheckpointError, match=r"best\.pt: its model's synet is a dict, not a map"):
        built_for({"model": model}, "best.pt")
