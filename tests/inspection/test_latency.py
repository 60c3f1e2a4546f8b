"""What is timed, and the arithmetic of it; never how long anything takes."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import tiny_files
import torch
from click.testing import CliRunner
from vendors_files import vendors_file

from synet.cli import main
from synet.commands.latency import table
from synet.custom_patches import unpatch
from synet.data.images import write_image
from synet.inspection import latency as timing
from synet.inspection.latency import Timing, latency
from synet.system.errors import ChipError, DataError, SynetError


@pytest.fixture(scope="module", autouse=True)
def patched():
    yield
    unpatch()


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to, in milliseconds."""
    now = [0]
    monkeypatch.setattr(timing, "perf_counter_ns", lambda: now[0])

    def wait(milliseconds: int) -> None:
        now[0] += milliseconds * 1_000_000

    return wait


def test_statistics_are_those_of_the_runs():
    runs = np.random.default_rng(0).gamma(2, 5, 101)
    found = Timing(runs)
    assert found.mean == pytest.approx(np.mean(runs))
    assert found.std == pytest.approx(np.std(runs))
    assert (found.min, found.max) == (runs.min(), runs.max())
    in_order = np.sort(runs)
    assert found.percentiles == pytest.approx({q: in_order[q] for q in (50, 90, 95, 99)})
    assert found.median == found.percentiles[50] == np.median(runs)
    assert found.frames_per_second == pytest.approx(1000 / np.median(runs))


def test_warming_up_does_not_count_and_every_step_has_its_own_time(clock):
    calls, given, ticks = [], [], []

    def first(value):
        given.append(value)
        calls.append(len(calls))
        clock(100 if len(calls) <= 3 else len(calls))  # slow at first, then 4, 5, 6, ...
        return calls[-1]

    def second(value):
        given.append(value)
        clock(7)

    def tick():
        ticks.append(gc.isenabled())
        clock(1000)  # between runs

    found = timing._measure([first, second], runs=4, warm_up=3, tick=tick)
    np.testing.assert_array_equal(found, [[4, 7], [5, 7], [6, 7], [7, 7]])
    assert given == [each for number in range(7) for each in (None, number)]
    assert ticks == [False] * 7 and gc.isenabled()


def test_the_network_is_timed_where_it_stands(clock, monkeypatch, tmp_path):
    """It is a part of the whole in the very same run, so it cannot take longer."""

    def step(milliseconds, returned=None):
        return lambda *_, **__: clock(milliseconds) or returned

    class Predictor:
        image_shape, threads, task, kernels = (8, 8), 1, "detect", None
        stages = step(4), step(8), step(16)

    monkeypatch.setattr(timing, "load_predictor", lambda *_, **__: Predictor())
    monkeypatch.setattr(timing, "read_image", step(1))
    monkeypatch.setattr(timing, "fit", step(2, (None, None)))
    monkeypatch.setattr(timing, "decode", step(32))
    found = latency(tmp_path / "m.tflite", runs=3, warm_up=1, image="a.jpg", progress=False)
    assert found.network.median == 8 and found.overall.median == 63
    assert {name: part.median for name, part in found.parts.items()} == {
        **{"decoding": 1, "fitting": 2, "network": 28, "boxes": 32}
    }
    assert found.verdict().startswith("this machine: network 8.00 ms")
    elsewhere = replace(found, device="cuda:0")
    assert elsewhere.verdict().startswith("this machine, cuda:0: network 8.00 ms")
    assert table(elsewhere).caption == "3 runs after 1 to warm up, on cuda:0"


def test_garbage_is_collected_again_after_a_failure():
    with pytest.raises(ZeroDivisionError):
        timing._measure([lambda _: 1 / 0], 1, 0, lambda: None)
    assert gc.isenabled()


@pytest.fixture
def vendor(shared):
    return vendors_file(shared, "person_pose_detection_256x480.tflite")


def test_a_file_from_image_to_boxes(vendor, tmp_path, capfd):
    image = write_image(tmp_path / "grey.png", np.full((60, 90, 3), 128, np.uint8))
    found = latency(vendor, runs=5, warm_up=1, threads=1, image=image, chip="katana")
    assert (found.threads, found.warm_up, found.image_shape) == (1, 1, (256, 480))
    assert list(found.parts) == ["decoding", "fitting", "network", "boxes"]
    for each in (found.network, found.overall, *found.parts.values()):
        assert each.milliseconds.shape == (5,) and each.milliseconds.min() > 0
    total = sum(part.milliseconds for part in found.parts.values())
    np.testing.assert_allclose(found.overall.milliseconds, total)
    # the network alone is a part of the network with its input and output converted, run by run
    assert (found.network.milliseconds < found.parts["network"].milliseconds).all()
    assert found.network.median < found.parts["network"].median < found.overall.median
    assert str(found.kernels) == "fast kernels" and "fast kernels" in table(found).caption
    assert found.estimate is None
    assert found.note == "no estimate for katana: its compiler is not public"
    assert "this machine: network " in found.verdict() and "katana" not in found.verdict()
    told = capfd.readouterr()
    assert told.out == "" and vendor.name in told.err and "100%" in told.err


def test_the_estimate_is_the_compilers(vendor):
    pytest.importorskip("ethosu.vela")
    from synet.inspection.profile import profile

    found = latency(vendor, runs=1, warm_up=0, chip="sabre", progress=False)
    compiled = profile(vendor, "sabre").compiled
    assert found.estimate.cycles == compiled.cycles
    assert found.estimate.milliseconds == pytest.approx(1e3 * compiled.cycles / 400e6)
    assert found.estimate.frames_per_second == pytest.approx(400e6 / compiled.cycles)
    assert found.estimate.on_npu == 1
    assert f"{compiled.cycles / 1e6:.2f} M cycles, 100% of operations on the NPU" in found.verdict()
    assert "sabre, estimate" in [*table(found).columns[0].cells]


@pytest.mark.parametrize(("task", "last"), [("segment", "boxes"), ("classify", "class")])
def test_a_checkpoint(task, last):
    before = torch.get_num_threads()
    found = latency(tiny_files.checkpoint(task), runs=2, warm_up=0, threads=3, progress=False)
    assert found.threads == 3 and torch.get_num_threads() == before
    assert list(found.parts) == ["decoding", "fitting", "network", last]
    rows = table(found).columns[0].cells
    assert [*rows] == ["network only", "overall", *(f"  {name}" for name in found.parts)]


def test_mistakes(vendor, tmp_path):
    with pytest.raises(ChipError, match="no chip is named 'sabr'; did you mean sabre"):
        latency(vendor, chip="sabr")
    with pytest.raises(SynetError, match="no.tflite: no such file"):
        latency("no.tflite")
    with pytest.raises(SynetError, match="runs: 0, warm-up: 10; give at least 1 and 0"):
        latency(vendor, runs=0)
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match="a.jpg: not an image"):
        latency(vendor, image=tmp_path / "a.jpg")


def test_the_command_prints_a_table_and_a_last_line(vendor):
    arguments = ["latency", str(vendor), "--runs", "3", "--warm-up", "0", "--chip", "katana"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    *table, note, last = result.stdout.splitlines()
    rows = ("network only", "overall", "decoding", "fitting", "network", "boxes")
    for row, name in zip(table[4:], rows, strict=False):
        assert row.split("│")[1].strip() == name
    assert "3 runs after 0 to warm up" in table[-1]
    assert note.startswith("no estimate for katana")
    assert last.startswith("this machine: network ")
