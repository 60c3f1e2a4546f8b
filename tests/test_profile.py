from __future__ import annotations

import dataclasses
import io

import int8_models
import pytest
from rich.console import Console

from synet.chips import get_chip
from synet.errors import ChipError, SynetError
from synet.graph import read_graph
from synet.profile import profile


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "good.tflite"
    path.write_bytes(int8_models.good())
    return path


def test_rows_add_up_to_the_graph(path):
    graph, result = read_graph(path), profile(path, "katana")
    assert [row.layer for row in result.rows] == [op.layer for op in graph.operators]
    assert result.macs == graph.macs
    assert result.weight_bytes == graph.weight_bytes
    assert sum(row.share for row in result.rows) == pytest.approx(1)
    peak, at = graph.peak_activation()
    assert result.peak is result.rows[at] and result.peak.alive_bytes == peak
    stem = result.rows[0]
    assert (stem.op, stem.shape, stem.bytes) == ("CONV_2D", (1, 24, 32, 8), 24 * 32 * 8)
    assert stem.share == 55296 / 884736


def test_verdict_of_a_model_that_fits(path):
    assert profile(path, "katana").verdict() == (
        "fits katana: 36.0 of 640.0 KiB activations (peak at model.5.cat), "
        "3.6 of 512.0 KiB weights, all 12 operations supported"
    )


def test_verdict_of_one_that_does_not():
    result = profile(int8_models.bad(), "katana")
    assert len(result.violations) == 11
    verdict = result.verdict()
    assert verdict.startswith(
        "does not fit katana: 36.1 of 640.0 KiB activations (peak at output_0"
    )
    assert verdict.endswith(f"; problem 1 of 11: {result.violations[0]}") and "\n" not in verdict


def test_a_model_that_is_too_big_for_a_chip(path):
    chip = dataclasses.replace(get_chip("katana"), activations_max_bytes=1024)
    result = profile(path, chip)
    assert [violation.where for violation in result.violations] == ["model.5.cat"]
    assert result.verdict().startswith("does not fit katana: 36.0 of 1.0 KiB activations")


def test_without_a_chip_there_are_figures_and_no_judgement(path):
    result = profile(path)
    assert result.violations == ()
    assert result.verdict() == (
        "36.0 KiB of activations (peak at model.5.cat), 3.6 KiB of weights, 0.9 MMAC"
    )


def test_the_table_shows_every_layer_and_the_totals(path):
    result = profile(path, "katana")
    stream = io.StringIO()
    Console(file=stream, width=140).print(result.table())
    text = stream.getvalue()
    for row in result.rows:
        assert row.layer in text and row.op in text
    (stem,) = (line for line in text.splitlines() if "model.0.conv" in line)
    assert [cell.strip() for cell in stem.split("│")[1:9]] == [
        "model.0.conv",
        "CONV_2D",
        "1x24x32x8",
        "6.0",
        "9.0",
        "0.1",
        "0.06",
        "6.2%",
    ]
    (total,) = (line for line in text.splitlines() if "total" in line)
    assert [cell.strip() for cell in total.split("│")[1:9]] == [
        "total", "12", "", "", "36.0", "3.6", "0.88", "",
    ]  # fmt: skip


def test_a_file_has_its_own_image_shape(path):
    assert profile(path, image_shape=(48, 64)).rows
    with pytest.raises(
        SynetError, match=r"good.tflite is made for images of \(48, 64\), not \(64, "
    ):
        profile(path, image_shape=(64, 48))


def test_mistakes_are_one_line(path, tmp_path):
    with pytest.raises(ChipError, match="did you mean katana"):
        profile(path, "katan")
    with pytest.raises(SynetError, match="cannot read"):
        profile(tmp_path / "none.tflite", "katana")


def test_the_vendors_detector(shared):
    result = profile(shared / "models" / "person_detection_480x640.tflite", "katana")
    assert len(result.rows) == 117
    assert result.macs == pytest.approx(2.041e9, rel=2e-3)
    assert "1800.0 of 640.0 KiB activations" in result.verdict()
