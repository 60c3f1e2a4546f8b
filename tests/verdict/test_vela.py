"""Vela itself compiles; nothing stands in for it."""

from __future__ import annotations

import configparser
import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import int8_models
import int8_ops
import pytest
from compilers import asking

from synet.chips import get_chip
from synet.system.errors import ChipError, SynetError
from synet.tflite.graph import read_graph
from synet.verdict.judge import fullest
from synet.verdict.program import program
from synet.verdict.vela import compile_for, configuration


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
        found.fills.sram_bytes / 1024,
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


# Less memory, and the other compiler: each against its own command line


def in_lpmem(chip):
    """The chip, with all weights there."""
    compiler = dataclasses.replace(chip.compiler, weights=("lpmem",))
    return dataclasses.replace(chip, compiler=compiler)


@pytest.fixture(scope="module", params=["5.2", "4.3"])
def asked(request, sabre):
    """Sabre by each version of its compiler, where that can be had."""
    return asking(in_lpmem(sabre), request.param)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """Vela, as one types it: KiB of SRAM and cycles of `heavy` in an arena of so many bytes."""
    folder = tmp_path_factory.mktemp("by hand")
    Path(folder, "heavy.tflite").write_bytes(int8_models.heavy())

    def ask(chip, arena_bytes):
        compiler = chip.compiler
        Path(folder, "my.ini").write_text(
            configuration(compiler, "lpmem", compiler.memories["vmem"].bytes)
        )
        vela = program(compiler.version, "5.2")
        command = [*vela.command, "heavy.tflite", "--config", "my.ini", "--output-dir", "."]
        command += ["--accelerator-config", compiler.accelerator, "--optimise", "Performance"]
        command += ["--system-config", "chip", "--memory-mode", "chip"]
        command += ["--arena-cache-size", str(arena_bytes)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=vela.environment)
        with Path(folder, "heavy_summary_chip.csv").open() as file:
            (row,) = csv.DictReader(file)
        return float(row["sram_memory_used"]) * 1024, int(float(row["cycles_total"]))

    return ask


def test_figures_are_those_of_the_compilers_own_command_line(asked, by_hand):
    found = compile_for(int8_models.heavy(), asked)
    assert found.version.startswith(asked.compiler.version) and found.on_cpu == ()
    assert found.trades[0] == found.trade and found.fills.arena_bytes == 1536000
    for trade in {found.fills, found.trade, found.trades[-1]}:
        assert (trade.sram_bytes, trade.cycles) == by_hand(asked, trade.arena_bytes)
    assert sum(cost.cycles for cost in found.costs) == found.cycles
    assert sum(cost.macs for cost in found.costs) == found.macs
    assert sum(held.bytes for held in fullest(found.moments)) == found.sram_bytes
    names = [operator.layer for operator in read_graph(int8_models.heavy()).operators]
    assert [cost.layer for cost in found.costs] == names and all(c.cycles for c in found.costs)


def test_the_least_memory_is_what_a_search_by_hand_finds(sabre, by_hand):
    """A KiB apart, and to a ten-thousandth of the cycles."""
    chip = in_lpmem(sabre)
    found = compile_for(int8_models.heavy(), chip)
    most = by_hand(chip, 1536000)
    assert (found.fills.sram_bytes, found.fills.cycles) == most
    tried = [by_hand(chip, kib * 1024) for kib in range(44, 52)]
    least = min(sram for sram, cycles in tried if cycles <= 1.0001 * most[1])
    assert found.sram_bytes == pytest.approx(least, rel=0.02)
    assert found.cycles == pytest.approx(most[1], rel=1e-4)
    assert found.sram_bytes < 0.6 * most[0]
    assert found.trades[-1].sram_bytes == min(sram for sram, _ in [*tried, by_hand(chip, 32768)])
    pairs = [(trade.sram_bytes, -trade.cycles) for trade in found.trades]
    assert pairs == sorted(pairs, reverse=True) and len(pairs) > 1


@pytest.mark.parametrize("asked", ["4.3"], indirect=True)
def test_what_the_other_compiler_leaves_to_the_processor(asked):
    left = {
        operator.name: reason for operator, reason in compile_for(int8_ops.left(), asked).on_cpu
    }
    assert left["GATHER"] == "a CPU only op"
    assert left["DEPTHWISE_CONV_2D"].startswith("Stride values for both width and height must be")
    assert len(left) == 8 and not any("why" in reason for reason in left.values())


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
    with pytest.raises(
        ChipError, match="Vela 5.2.0 cannot compile the file: .*ethos-u55-127"
    ) as error:
        compile_for(int8_models.good(), dataclasses.replace(sabre, compiler=compiler))
    assert "\n" not in str(error.value)


def with_versions(chip, *versions):
    """The chip with a compiler of other versions, of which the first is asked."""
    compiler = dataclasses.replace(chip.compiler, versions=versions, version=versions[0])
    return dataclasses.replace(chip, compiler=compiler)


def test_without_the_vela_that_judges(sabre):
    with pytest.raises(SynetError, match=r"Vela 99 \(5\.2\.0 is installed\): .*\[sabre\]'"):
        compile_for(int8_models.good(), with_versions(sabre, "99"))


def named(folder, code):
    """A program that calls itself Vela 5.2.0, and does nothing else but what `code` does."""
    path = folder / "vela"
    path.write_text(f"#!{sys.executable}\nimport sys\n")
    path.chmod(0o755)
    with path.open("a") as file:
        file.write(f"if sys.argv[1] == '--version':\n    sys.exit(print('5.2.0'))\n{code}\n")
    return str(path)


def test_a_vela_that_reports_otherwise(sabre, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ChipError, match="Vela 5.2.0 does not report as is known of") as error:
        compile_for(int8_models.good(), sabre.asking(named(tmp_path, "")))
    assert "\n" not in str(error.value)
