"""A rectangular image size: what stands for one on a command line, and in files."""

from __future__ import annotations

import argparse
import copy
import pickle
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import yaml

from synet.patches.rectangular_images import Rectangles, Shape, Size, size_of
from synet.patches.undo import Applied


def test_a_size_is_the_longer_side_and_knows_both():
    assert Size(480, 640) == 640 == Size(640, 480) and [*Size(480, 640)] == [480, 640]
    assert f"{Size(480, 640)}" == "480,640" and size_of(str(Size(480, 640))).shape == (480, 640)
    assert isinstance(Size(480, 640) * 2, int) and np.array([1.0]) * Size(3, 5) == [5.0]
    assert copy.deepcopy({"a": Size(480, 640)})["a"].shape == (480, 640)


def test_files_hold_plain_numbers_and_workers_all_of_it():
    for kind in (Size(48, 64), Shape([48, 64])):
        assert type(pickle.loads(pickle.dumps(kind))) is list
        assert pickle.loads(pickle.dumps(kind)) == [48, 64]
    sent = pickle.loads(ForkingPickler.dumps(Size(48, 64)))
    assert type(sent) is Size and sent.shape == (48, 64)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("480,640", (480, 640)),
        ("[480, 640]", (480, 640)),
        ((480, 640), (480, 640)),
        ((Size(64, 160), Size(64, 160)), (64, 160)),
        (640, None),
        ("640", None),
        ([640], None),
        ([1.5, 2], None),
        (None, None),
    ],
)
def test_what_means_a_rectangle(value, shape):
    assert getattr(size_of(value), "shape", None) == shape


# ------------------------------------------------------------------------------- command lines


@pytest.fixture
def able():
    """Rectangles of a fork that has what they need."""
    rectangles = Rectangles()
    rectangles.found |= {"letterbox", "load_image", "create_dataloader"}
    return rectangles


def parsed(rectangles: Rectangles, typed: str, monkeypatch, **option):
    parser = argparse.ArgumentParser()
    option = {"type": int, "default": 640, **option}
    parser.add_argument("--imgsz", "--img", "--img-size", dest="imgsz", **option)
    parser.add_argument("--epochs", type=int)
    applied = Applied()
    rectangles.apply(applied)
    monkeypatch.setattr(sys, "argv", ["train.py", *typed.split()])
    try:
        return parser.parse_args()
    finally:
        applied.undo()


@pytest.mark.parametrize(
    ("typed", "shape"),
    [
        ("--img 480 640 --epochs 3", (480, 640)),
        ("--imgsz 480,640 --epochs 3", (480, 640)),
        ("--img-size=480,640 --epochs 3", (480, 640)),
        ("--img 640 --epochs 3", None),
        ("--epochs 3", None),
    ],
)
def test_height_and_width_on_a_command_line(able, monkeypatch, typed, shape):
    options = parsed(able, typed, monkeypatch)
    assert options.imgsz == 640 and options.epochs == 3
    assert getattr(options.imgsz, "shape", None) == shape


def test_two_sizes_of_old_scripts_stay_two_sizes(able, monkeypatch):
    option = {"nargs": "+", "default": [640, 640], "help": "[train, test] image sizes"}
    assert parsed(able, "--img 480 640", monkeypatch, **option).imgsz == [480, 640]
    (size,) = parsed(able, "--img 480,640", monkeypatch, **option).imgsz
    assert size.shape == (480, 640)
    option["help"] = "inference size h,w"
    assert parsed(able, "--img 480,640", monkeypatch, **option).imgsz == [480, 640]


def test_yaml_files_hold_both_numbers():
    applied = Applied()
    Rectangles().apply(applied)
    try:
        for dump in (yaml.safe_dump, yaml.dump):
            assert yaml.safe_load(dump({"imgsz": Size(48, 64), "x": Shape([1, 2])})) == {
                "imgsz": [48, 64],
                "x": [1, 2],
            }
    finally:
        applied.undo()


def test_a_fork_without_these_functions_is_told_that_it_sees_squares(monkeypatch, caplog):
    rectangles = Rectangles()
    rectangles.found |= {"letterbox", "create_dataloader"}
    size = parsed(rectangles, "--img 480 640", monkeypatch).imgsz
    assert type(size) is int and size == 640
    assert "images stay squares of 640" in caplog.text and "load_image" in caplog.text
