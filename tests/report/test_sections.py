from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import int8_models
import numpy as np
import pytest

import synet
from synet.chips import get_chip
from synet.data.yolo_yaml import Dataset
from synet.detections.detections import Detections
from synet.evaluation.curves import RECALLS, Curve
from synet.evaluation.found import Found
from synet.inspection.profile import profile
from synet.report import charts, sections
from synet.report.sections import MEAN
from synet.tflite.model import embed_metadata


@pytest.fixture(scope="module")
def fits():
    return profile(int8_models.good(), "katana")


@pytest.fixture(scope="module")
def compiled():
    return profile(int8_models.good(), "sabre")


# --- what it costs -------------------------------------------------------------------------------


def test_the_verdict_of_a_model_that_fits(fits):
    told = sections.verdict(fits)
    assert told.fits and told.problems == ()
    assert told.chip == "Katana KA10000"
    assert told.why.startswith("36.0 of 640.0 KiB activations")
    assert told.frames_per_second is None and told.milliseconds is None
    assert "chips/katana.yaml" in told.judge and "not public" in told.judge


def test_the_verdict_of_one_that_does_not():
    result = profile(int8_models.bad(), "katana")
    told = sections.verdict(result)
    assert not told.fits
    assert told.problems == result.violations
    assert told.why.startswith("Problem 1 of 11: ")


def test_the_compilers_frames_a_second(compiled):
    told = sections.verdict(compiled)
    assert told.frames_per_second == compiled.compiled.frames_per_second > 0
    assert told.milliseconds == pytest.approx(1000 / told.frames_per_second)
    assert told.judge == "Vela 5.2.0, the compiler of Sabre SR100"


def test_less_memory_for_more_time(compiled, fits):
    assert sections.trades(fits) == ()  # there is no compiler to ask
    found = compiled.compiled
    more = dataclasses.replace(found.trade, sram_bytes=1024, cycles=2 * found.cycles)
    judged = dataclasses.replace(
        compiled.judged, compiled=dataclasses.replace(found, trades=(found.trade, more))
    )
    first, last = sections.trades(dataclasses.replace(compiled, judged=judged))
    assert (first.kib, first.more) == (found.sram_bytes / 1024, 0)
    assert (last.kib, last.more, last.milliseconds) == (1, 1, pytest.approx(2 * first.milliseconds))
    (line,) = charts.trades((first, last)).data
    assert list(line.x) == [first.kib, 1] and list(line.y) == [
        first.milliseconds,
        last.milliseconds,
    ]


@pytest.mark.parametrize("chip", ["katana", "sabre"])
def test_layers_add_up(chip, request):
    result = request.getfixturevalue("compiled" if chip == "sabre" else "fits")
    found = sections.layers(result)
    assert [layer.name for layer in found] == list(dict.fromkeys(r.layer for r in result.rows))
    assert sum(layer.macs for layer in found) == result.macs
    assert max(layer.alive_bytes for layer in found) == result.peak.alive_bytes
    if chip == "sabre":
        assert sum(layer.cycles for layer in found) == result.compiled.cycles
    else:
        assert {layer.cycles for layer in found} == {None}


@pytest.mark.parametrize(
    ("names", "shorts"),
    [
        (["model.1.conv", "model.12.cat"], ["1.conv", "12.cat"]),
        (["model.1.conv", "model.1.conv"], ["conv", "conv 2"]),
        (["conv2d", "output_0 (after conv2d)"], ["conv2d", "output_0"]),
        (["model.3.conv"], ["conv"]),
        (["a.b", "a.this_is_a_very_long_name"], ["b", "this_is_a_very_…"]),
        ([], []),
    ],
)
def test_short_names(names, shorts):
    assert sections.short_names(names) == shorts


def test_what_is_held_at_the_peak_adds_up_to_it(fits):
    held = sections.held_at_peak(fits)
    assert sum(size for _, size in held) == fits.judged.peak_bytes
    assert [size for _, size in held] == sorted((size for _, size in held), reverse=True)


def test_kinds_of_operations_that_all_run(fits, compiled):
    for result in (fits, compiled):
        kinds = sections.operation_kinds(result)
        assert sum(kind.count for kind in kinds) == len(result.rows)
        assert all(kind.runs == kind.count for kind in kinds)
        assert sum(kind.share for kind in kinds) == pytest.approx(1)
        assert kinds[0].name == "CONV_2D"


def test_kinds_of_operations_that_do_not():
    kinds = {
        kind.name: kind for kind in sections.operation_kinds(profile(int8_models.bad(), "katana"))
    }
    assert kinds["TRANSPOSE_CONV"].runs == 0
    assert 0 < kinds["CONV_2D"].count - kinds["CONV_2D"].runs  # some run, too large ones do not


# --- what it finds -------------------------------------------------------------------------------


def test_accuracy_by_class_and_curves():
    """Of two classes one is found in full and one by half; a third is on no image."""
    names = ("all", "half", "none")
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 90, 90]])
    labels = Detections(boxes, np.ones(3), [0, 1, 1])
    hits = Detections(boxes[:2], [0.9, 0.6], [0, 1])
    found = Found((Path("a.png"),), (labels,), (hits,), np.arange(3), 1.0)
    told = sections.accuracy(found, Dataset(Path("d.yaml"), names, {}))
    assert list(told.per_class) == ["all", "half"]
    assert told.per_class["all"] == pytest.approx((1, 1))
    assert told.per_class["half"][0] == pytest.approx(51 / 101)  # recalls of 0 to 0.5
    assert told.map50 == pytest.approx((1 + 51 / 101) / 2)
    assert (told.images, told.boxes) == (1, 3)
    assert list(told.lines) == [MEAN, "all", "half"]
    assert [line.labels for line in told.lines.values()] == [3, 1, 2]
    for name, line in told.lines.items():
        area = told.map50 if name == MEAN else told.per_class[name][0]
        assert line.precision.mean() == pytest.approx(area)
    reached = told.lines["half"].confidence
    assert (reached[:51] == pytest.approx(0.6)) and np.isnan(reached[51:]).all()


def test_accuracy_where_no_label_shows_a_class():
    nothing = Detections(np.zeros((0, 4)), [], [])
    found = Found((Path("a.png"),), (nothing,), (nothing,), np.arange(2), 1.0)
    told = sections.accuracy(found, Dataset(Path("d.yaml"), ("a", "b"), {}))
    assert np.isnan(told.map50) and not told.per_class and not told.lines


def test_classes_of_one_name_are_kept_apart():
    labels = Detections(np.array([[0, 0, 9, 9], [20, 20, 40, 40]]), np.ones(2), [0, 1])
    found = Found((Path("a.png"),), (labels,), (labels,), np.arange(2), 1.0)
    told = sections.accuracy(found, Dataset(Path("d.yaml"), ("cat", "cat"), {}))
    assert list(told.per_class) == ["cat (0)", "cat (1)"]


def test_the_confidence_of_a_recall_is_the_highest_that_reaches_it():
    curve = Curve(np.array([0.9, 0.5, 0.4]), np.array([1, 0.5, 2 / 3]), np.array([0.5, 0.5, 1.0]))
    line = sections.class_line(curve)
    assert line.confidence[np.searchsorted(RECALLS, 0.5)] == 0.9
    assert line.confidence[-1] == 0.4
    assert line.precision[-1] == pytest.approx(2 / 3)


# --- how it was made -----------------------------------------------------------------------------


def test_how_it_was_made(fits, tmp_path):
    metadata = {"names": ["a", "b"], "calibration": {"images": 7, "seed": 3}}
    content = embed_metadata(int8_models.good(), metadata)
    twin = tmp_path / "best.pt"
    twin.write_bytes(b"weights")
    told = sections.made(
        "synet report x", Path("best.tflite"), content, twin, fits, "d.yaml", "val", 5
    )
    assert told["This report"]["command"] == "synet report x"
    assert told["This report"]["data"] == "d.yaml, 5 images of the val split"
    assert told["Files"]["model"] == (
        f"best.tflite ({len(content):,} bytes), sha256 {hashlib.sha256(content).hexdigest()}"
    )
    assert hashlib.sha256(b"weights").hexdigest() in told["Files"]["float model"]
    assert told["Files"]["chip"].startswith("synet/chips/katana.yaml (")
    assert told["Embedded in the model"] == {"names": "a, b", "calibration": "images: 7, seed: 3"}
    assert told["Versions"]["SyNet"] == synet.__version__
    assert {"torch", "LiteRT", "TensorFlow", "Vela"} <= told["Versions"].keys()


def test_a_file_of_somebody_else_says_so():
    assert sections.embedded(int8_models.good()) == {
        "metadata": "none: SyNet did not make this file"
    }


# --- charts of it --------------------------------------------------------------------------------


def test_the_chart_of_memory(fits):
    layers, chip = sections.layers(fits), fits.chip
    figure = charts.memory(layers, fits.judged.peak_bytes, chip)
    (bars,) = figure.data
    assert max(bars.y) == pytest.approx(36.0)
    dark = [at for at, colour in enumerate(bars.marker.color) if colour == charts.LIGHT["peak"]]
    assert [layers[at].name for at in dark] == ["model.5.cat"]
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["<b>peak 36.0 KiB</b>", "Katana's limit, 640 KiB"]
    assert [shape.y0 for shape in figure.layout.shapes] == [640]
    assert "model.5.cat" in bars.customdata[dark[0]]


def test_the_peak_is_within_the_chart_however_the_limit_lies(fits):
    layers = sections.layers(fits)
    for limit in (1024, 36 * 1024, 38 * 1024, 10**9):
        chip = dataclasses.replace(get_chip("katana"), activations_max_bytes=limit)
        figure = charts.memory(layers, fits.judged.peak_bytes, chip)
        top = figure.layout.yaxis.range[1]
        peak = figure.layout.annotations[0]
        assert peak.y < peak.ay < top and limit / 1024 < top


def test_the_chart_of_cycles_and_of_macs(fits, compiled):
    cycles, macs = (charts.cost(sections.layers(result)) for result in (compiled, fits))
    assert sum(cycles.data[0].y) * 1e3 == pytest.approx(compiled.compiled.cycles)
    assert sum(macs.data[0].y) * 1e3 == pytest.approx(fits.macs)
    assert "thousand cycles" in cycles.layout.yaxis.title.text
    assert "thousand MACs" in macs.layout.yaxis.title.text
    assert min(macs.data[0].y) > 0


def test_names_in_charts_are_text_and_no_tags(fits):
    (layer, *_) = sections.layers(fits)
    evil = dataclasses.replace(layer, name="<a href='http://x'>", short="<b>")
    figure = charts.cost([evil])
    assert "<a" not in figure.data[0].customdata[0] and "&lt;a" in figure.data[0].customdata[0]
    assert figure.data[0].x[0] == "&lt;b&gt;"
