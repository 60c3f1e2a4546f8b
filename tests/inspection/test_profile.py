from __future__ import annotations

import dataclasses
import io

import int8_models
import pytest
import tiny_yolo
from click.testing import CliRunner
from rich.console import Console

from synet.chips import get_chip
from synet.cli import main
from synet.commands.profile_tables import operations, tables
from synet.inspection.profile import profile
from synet.models.get_model import to_tflite_bytes
from synet.system.errors import ChipError, SynetError
from synet.tflite.graph import read_graph
from synet.tflite.model import embed_metadata
from synet.verdict.fit import row_of
from synet.verdict.judge import judge


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
    assert result.verdict() == f"does not fit katana: problem 1 of 11: {result.violations[0]}"


def test_a_model_that_is_too_big_for_a_chip(path):
    chip = dataclasses.replace(get_chip("katana"), activations_max_bytes=1024)
    result = profile(path, chip)
    assert [violation.where for violation in result.violations] == ["model.5.cat"]
    assert result.verdict() == "does not fit katana: 35.0 KiB too much at layer model.5.cat"


def test_the_table_shows_every_layer_and_the_totals(path):
    result = profile(path, "katana")
    stream = io.StringIO()
    Console(file=stream, width=140).print(operations(result))
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
    verdict = result.verdict()
    assert verdict.startswith("does not fit katana: problem 1 of ") and "\n" not in verdict
    assert verdict.endswith(
        "weights of 1124.7 KiB, katana has 512.0 KiB; 1160.0 KiB too much at layer conv2d"
    )


# A chip with a compiler


def shown(result):
    stream = io.StringIO()
    Console(file=stream, width=140).print(*tables(result))
    return stream.getvalue()


def small(size):
    """Sabre with so many bytes for activations, and the weights elsewhere."""
    sabre = get_chip("sabre")
    vmem = dataclasses.replace(sabre.compiler.memories["vmem"], bytes=size)
    compiler = dataclasses.replace(
        sabre.compiler, memories={**sabre.compiler.memories, "vmem": vmem}, weights=("lpmem",)
    )
    return dataclasses.replace(sabre, activations_max_bytes=size, compiler=compiler)


def test_the_vendors_detector_on_its_chip(shared):
    """Which it does not name: it is the chip with a camera for colour."""
    result = profile(shared / "models" / "person_detection_480x640.tflite")
    assert result.chip.name == "sabre"
    assert result.violations == ()
    assert result.verdict() == (
        "fits sabre: 1375.6 of 1500.0 KiB SRAM, 1231.0 KiB of weights in lpmem, 23.90 M cycles, "
        "59.76 ms (16.7 frames a second), all 117 operations on the NPU, says Vela 5.2.0"
    )
    text = shown(result)
    for figure in ("59.76 ms", "85.4 a cycle of 128", "1231.0 KiB in lpmem", "0 of 117 operations"):
        assert figure in text
    (worst,) = (line for line in text.splitlines() if "conv2d_4 " in line and "4150" in line)
    assert "1x60x80x192" in worst and "17.4%" in worst
    (image,) = (line for line in text.splitlines() if "input" in line)
    assert "900.0" in image and "65.4%" in image


def test_what_is_left_to_the_processor_is_told_with_its_layer_and_a_remedy():
    result = profile(int8_models.not_quantized(), "sabre")
    assert "1 of 1 operations" in shown(result)
    assert result.verdict().startswith(
        "does not fit sabre: problem 1 of 1: output_0 (after input): CONV_2D runs on sabre's CPU"
    )
    assert "synet quantize" in result.verdict()


def test_a_file_that_does_not_fit_is_told_where(path):
    peak = judge(path.read_bytes(), small(1 << 20)).peak_bytes
    result = profile(path, small(peak - 1024))
    assert result.verdict() == "does not fit sabre: 1.0 KiB too much at layer model.5.cat"


@pytest.mark.parametrize("named", ["sabre", "katana", None])
def test_the_chip_is_the_one_that_a_file_names(named):
    content = embed_metadata(int8_models.good(), {"chip": named} if named else {})
    assert profile(content).chip is get_chip(named or "katana")
    assert profile(content, "sabre").chip is get_chip("sabre")


@pytest.fixture
def tiny(tmp_path):
    """A yaml with a layer that fills the memory."""
    path = tiny_yolo.write(tmp_path)
    path.write_text(path.read_text().replace("Conv, [16, 3, 2]", "Conv, [64, 3, 2]"))
    return path


def test_a_yaml_that_does_not_fit_is_told_how_it_would(tiny):
    chip = small(13800)  # of 17280 bytes, most of them in layer 2 and what it feeds
    result = profile(tiny, chip)
    (height, width), (row, channels) = result.fit.shape, result.fit.channels
    where = result.violations[0].where
    there = "there" if row_of(where) == row else f"in model.{row}"
    assert result.verdict() == (
        f"does not fit sabre: {(result.judged.peak_bytes - 13800) / 1024:.1f} KiB too much at "
        f"layer {where}; at {height}x{width}, or with {channels} channels {there}, it fits"
    )
    # so it is
    assert judge(to_tflite_bytes(tiny, (height, width)), chip).violations == ()
    assert row == 2 and channels < 64
    thin = tiny.with_name("thin.yaml")
    thin.write_text(tiny.read_text().replace("Conv, [64, 3, 2]", f"Conv, [{channels}, 3, 2]"))
    assert judge(to_tflite_bytes(thin), chip).violations == ()


def test_the_command_ends_in_the_verdict(tmp_path):
    for number, (content, status) in enumerate([(int8_models.good(), 0), (int8_models.bad(), 3)]):
        file = tmp_path / f"{number}.tflite"
        file.write_bytes(embed_metadata(content, {"chip": "sabre"}))
        chosen = [] if status == 0 else ["--chip", "katana"]
        ran = CliRunner().invoke(main, ["profile", str(file), *chosen])
        assert ran.exit_code == status
        last = ran.output.splitlines()[-1]
        assert last.startswith("does not fit katana: " if status else "fits sabre: 39.0 of ")
