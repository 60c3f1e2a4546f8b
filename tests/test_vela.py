"""Vela itself compiles; nothing stands in for it."""

from __future__ import annotations

import configparser
import dataclasses
import sys
from pathlib import Path

import int8_models
import int8_ops
import pytest

from synet import vela
from synet.chips import get_chip
from synet.errors import ChipError, SynetError
from synet.graph import read_graph
from synet.judge import fullest
from synet.vela import compile_for, configuration


@pytest.fixture(scope="module")
def sabre():
    return get_chip("sabre")


@pytest.fixture(scope="module")
def good(sabre):
    return compile_for(int8_models.good(), sabre)


def with_memory(chip, name, **changes):
    """The chip with another memory of that name."""
    compiler = chip.compiler
    memories = {**compiler.memories, name: dataclasses.replace(compiler.memories[name], **changes)}
    return dataclasses.replace(chip, compiler=dataclasses.replace(compiler, memories=memories))


# (SRAM KiB, weights KiB, million cycles, multiply-accumulates a cycle), as the vendor's README says
VENDOR = {
    "person_detection_480x640": (1375.6, 1231.0, 23.90, 85.4),
    "person_pose_detection_256x480": (966.6, 1335.3, 12.31, 82.0),
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_models(name, shared, sabre):
    found = compile_for((shared / "models" / f"{name}.tflite").read_bytes(), sabre)
    figures = (
        found.sram_bytes / 1024,
        found.weight_bytes / 1024,
        found.cycles / 1e6,
        found.macs_per_cycle,
    )
    assert figures == pytest.approx(VENDOR[name], rel=1e-3)
    assert found.placement == "lpmem" and found.on_cpu == ()
    assert found.seconds == pytest.approx(found.cycles / 400e6)


def test_what_vela_counts_adds_up(good):
    graph = read_graph(int8_models.good())
    assert [(cost.layer, cost.op) for cost in good.costs] == [
        (operator.layer, operator.name) for operator in graph.operators
    ]
    assert sum(cost.cycles for cost in good.costs) == good.cycles
    assert sum(cost.macs for cost in good.costs) == good.macs
    worst = fullest(good.moments)
    assert sum(held.bytes for held in worst) == good.sram_bytes
    assert {held.layer for held in worst} >= {"model.5.cat", "model.1.add"}
    assert max(cost.sram_bytes for cost in good.costs) == good.sram_bytes
    slowest = max(good.costs, key=lambda cost: cost.cycles)
    assert (slowest.layer, slowest.op) == ("model.1.add", "ADD")


def test_weights_go_where_there_is_room(sabre, good):
    assert (good.placement, good.on_cpu) == ("vmem", ())
    room = good.sram_bytes + good.weight_bytes

    def placement(chip):
        return compile_for(int8_models.good(), chip).placement

    assert placement(with_memory(sabre, "vmem", bytes=room)) == "vmem"
    assert placement(with_memory(sabre, "vmem", bytes=room - 1)) == "lpmem"
    tight = with_memory(with_memory(sabre, "vmem", bytes=room - 1), "lpmem", bytes=1024)
    assert placement(tight) == "flash_66_mhz"


def test_slower_weights_take_more_cycles(sabre, good):
    cycles = [good.cycles]
    for memory in ("lpmem", "flash_66_mhz"):
        compiler = dataclasses.replace(sabre.compiler, weights=(memory,))
        chip = dataclasses.replace(sabre, compiler=compiler)
        found = compile_for(int8_models.good(), chip)
        assert found.placement == memory
        cycles.append(found.cycles)
    assert cycles == sorted(cycles) and cycles[0] < cycles[-1]


def test_the_configuration_is_the_chips(sabre):
    config = configparser.ConfigParser()
    config.read_string(configuration(sabre.compiler, "lpmem", 1000))
    system, mode = (config[f"{part}.chip"] for part in ("System_Config", "Memory_Mode"))
    assert float(system["core_clock"]) == 400e6
    assert (system["axi0_port"], system["axi1_port"]) == ("Sram", "OffChipFlash")
    assert [system[f"Sram_{key}"] for key in ("clock_scale", "burst_length", "read_latency")] == [
        "1.0",
        "64",
        "4",
    ]
    assert system["OffChipFlash_clock_scale"] == "0.25" and system["OffChipFlash_max_reads"] == "4"
    assert [mode[f"{area}_mem_area"] for area in ("const", "arena", "cache")] == [
        "Axi1",
        "Axi0",
        "Axi0",
    ]
    assert mode["arena_cache_size"] == "1000"
    config.read_string(configuration(sabre.compiler, "vmem", 1000))
    assert config["Memory_Mode.chip"]["const_mem_area"] == "Axi0"


def test_vela_runs_all_that_sabres_file_lists(sabre):
    content = int8_ops.runs()
    assert {operator.name for operator in read_graph(content).operators} == sabre.ops.keys()
    assert compile_for(content, sabre).on_cpu == ()


def test_what_is_left_to_the_processor_is_named_with_velas_reason(sabre):
    found = dict(
        (operator.name, reason) for operator, reason in compile_for(int8_ops.left(), sabre).on_cpu
    )
    assert found.keys() == {
        "GATHER",
        "DEPTH_TO_SPACE",
        "DIV",
        "DEPTHWISE_CONV_2D",
        "AVERAGE_POOL_2D",
        "RESIZE_NEAREST_NEIGHBOR",
        "RESIZE_BILINEAR",
        "TRANSPOSE_CONV",
    }
    assert found["GATHER"] == "Unsupported opType"
    assert found["DEPTHWISE_CONV_2D"] == "Unsupported kernel stride: 4, 4"
    assert not {name for name, reason in found.items() if "why" in reason}


def test_the_user_sees_nothing_of_vela(sabre, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compile_for(int8_models.good(), sabre)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_compiled_is_told_in_one_line(sabre, monkeypatch, tmp_path):
    with pytest.raises(SynetError, match="is damaged, make it again"):
        compile_for(b"\0\0\0\0TFL3" + bytes(64), sabre)
    with pytest.raises(ChipError, match="katana has no public compiler"):
        compile_for(int8_models.good(), get_chip("katana"))
    compiler = dataclasses.replace(sabre.compiler, accelerator="ethos-u55-127")
    with pytest.raises(ChipError, match="Vela cannot compile the file: .*ethos-u55-127") as error:
        compile_for(int8_models.good(), dataclasses.replace(sabre, compiler=compiler))
    assert "\n" not in str(error.value)


def test_without_vela(sabre, monkeypatch):
    monkeypatch.setattr(vela, "MODULE", "ethosu.not_here")
    with pytest.raises(SynetError, match=r"pip install -e .*\[sabre\]'"):
        compile_for(int8_models.good(), sabre)
    monkeypatch.setattr(vela, "MODULE", "not_here.vela")
    with pytest.raises(SynetError, match=r"pip install -e .*\[sabre\]'"):
        compile_for(int8_models.good(), sabre)


def test_a_vela_that_reports_otherwise(sabre, monkeypatch, tmp_path):
    """Another compiler in its place, which writes nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    Path(tmp_path, "silent.py").write_text("")
    monkeypatch.setattr(vela, "MODULE", "silent")
    with pytest.raises(ChipError, match="does not report as its version 5.2 does") as error:
        compile_for(int8_models.good(), sabre)
    assert "\n" not in str(error.value)
    sys.modules.pop("silent", None)
