"""Pools along height and width in a fork's own block, and what is said of rows that do not run."""

from __future__ import annotations

import re

import pytest
import torch
from changed_file import write_changed
from keras_twin import assert_same, draw, settle
from model_yaml import ANCHORS, model_yaml
from patched import patched_fork
from torch import nn

from synet.chips import get_chip
from synet.custom_patches import unpatch
from synet.export.convert import to_keras
from synet.export.tensorflow import to_float
from synet.models.forks import build_model
from synet.models.locate import installed
from synet.system.errors import ChipError
from synet.tflite.graph import read_graph
from synet.verdict.check import problems_of

YAML = model_yaml(
    backbone="""
    [-1, 1, Conv, [8, 3, 2]]
    [-1, 1, Coordinates, [8]]
    [-1, 1, Conv, [8, 3, 2]]
    """,
    head="""
    [-1, 1, Squares, []]
    [[-1], 1, Detect, [nc, anchors]]
    """,
    about="synet: {chip: CHIP, image_shape: [72, 96]}\n",
    anchors=ANCHORS[:1],
)


class Coordinates(nn.Module):
    """Coordinate attention: gates for rows and for columns, from means along the other axis."""

    def __init__(self, channels):
        super().__init__()
        self.rows = nn.AdaptiveAvgPool2d((None, 1))
        self.columns = nn.AdaptiveAvgPool2d((1, None))
        self.mix = nn.Sequential(
            nn.Conv2d(channels, 8, 1), nn.BatchNorm2d(8), nn.Hardswish(inplace=True)
        )
        self.row_gate, self.column_gate = nn.Conv2d(8, channels, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x):
        height, width = x.shape[2:]
        rows, columns = self.rows(x), self.columns(x).permute(0, 1, 3, 2)
        y = self.mix(torch.cat([rows, columns], dim=2))
        rows, columns = torch.split(y, [height, width], dim=2)
        columns = self.column_gate(columns.permute(0, 1, 3, 2)).sigmoid()
        return x * columns * self.row_gate(rows).sigmoid()


class Squares(nn.Module):
    """Pools to 7x7 and 2x2, spread over the image again."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.AdaptiveAvgPool2d(7), nn.AdaptiveAvgPool2d(2)

    def forward(self, x):
        fine = self.fine(x).mean((2, 3), keepdim=True)
        return x + fine * self.coarse(x).amax((2, 3), keepdim=True)


@pytest.fixture
def build(tmp_path):
    def build(chip, *changes):
        fork = patched_fork(installed("yolov5"), chip)
        vars(fork.module).update(Coordinates=Coordinates, Squares=Squares)
        return build_model(write_changed(tmp_path / "pools.yaml", YAML, ("CHIP", chip), *changes))

    yield build
    unpatch()


@pytest.mark.parametrize("chip", ["katana", "sabre"])
def test_coordinate_attention_trains_and_is_exported(build, chip):
    model = build(chip)
    block = model.model[1]
    assert type(block) is Coordinates
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    before = block.row_gate.weight.detach().clone()
    sum(y.square().mean() for y in model.train()(torch.rand(2, 1, 72, 96))).backward()
    optimizer.step()
    assert not torch.equal(before, block.row_gate.weight)
    for part in (block, model.model[3]):
        assert_same(settle(part), draw(1, 8, 31, 41), chip=chip)
    graph = read_graph(to_float(to_keras(model.eval(), (72, 96), 1)))
    found = [p for op in graph.operators for p, _ in problems_of(graph, op, get_chip(chip))]
    assert [problem for problem in found if "float32" not in problem] == []


def test_every_row_that_does_not_run_is_named_with_its_line_and_a_way_out(build):
    with pytest.raises(ChipError) as caught:
        build(
            "katana",
            ("Coordinates, [8]", "nn.AvgPool2d, [9, 1, 4]"),
            ("Squares, []", "nn.Conv2d, [8, 8, 5, 1, 4, 2]"),
        )
    first, *lines = str(caught.value).splitlines()
    assert first == "katana does not run this network:"
    assert [re.match(r"\S+pools\.yaml:(\d+): (\S+): ", line).groups() for line in lines] == [
        ("10", "nn.AvgPool2d"),
        ("13", "nn.Conv2d"),
    ]
    assert "AVERAGE_POOL_2D" in lines[0] and "use a strided convolution" in lines[0]
    assert "dilation 2x2" in lines[1] and "use a dilation of 1" in lines[1]


def test_a_dilation_is_told_with_its_cost(build, caplog):
    model = build("katana", ("Squares, []", "nn.Conv2d, [8, 8, 3, 1, 2, 2]"))
    (note,) = [each for each in model.synet["substituted"] if "5x5" in each]
    assert note in caplog.text
    assert re.match(r"\S+pools\.yaml:13: Conv2d is now a convolution of 5x5 and stride 1x1: ", note)
    assert "the multiply-accumulates go from 2.36 to 6.55 million" in note
    as_it_is = build("sabre", ("Squares, []", "nn.Conv2d, [8, 8, 3, 1, 2, 2]"))
    assert not [each for each in as_it_is.synet["substituted"] if "5x5" in each]
