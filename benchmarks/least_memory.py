"""The least SRAM that `synet profile` tells, against a search by hand with Vela's own command line.

python benchmarks/least_memory.py FILE.tflite ... [--compiler 4.3] [--step KIB]
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

from synet.chips import Chip, get_chip
from synet.verdict.arena import SAME
from synet.verdict.program import program
from synet.verdict.vela import Compiled, compile_for, configuration

BAR = 0.02  # of the memory


def by_hand(file: Path, chip: Chip, weights: str, arena_bytes: int) -> tuple[float, float] | None:
    """KiB of SRAM and cycles, as Vela's summary has them; None where Vela fails."""
    compiler = chip.compiler
    vela = program(compiler.version, compiler.versions[0])
    with tempfile.TemporaryDirectory() as folder:
        ini = Path(folder, "chip.ini")
        ini.write_text(configuration(compiler, weights, compiler.memories[compiler.arena].bytes))
        command = [*vela.command, str(file), "--output-dir", folder, "--config", str(ini)]
        command += ["--accelerator-config", compiler.accelerator, "--optimise", "Performance"]
        command += ["--system-config", "chip", "--memory-mode", "chip"]
        command += ["--arena-cache-size", str(arena_bytes)]
        ran = subprocess.run(command, env=dict(vela.environment), capture_output=True)
        if ran.returncode:
            return None
        (summary,) = Path(folder).glob("*_summary_chip.csv")
        (row,) = csv.DictReader(summary.read_text().splitlines())
        return float(row["sram_memory_used"]), float(row["cycles_total"])


def least(file: Path, chip: Chip, told: Compiled, step: int) -> float:
    """KiB, from all the memory downwards."""
    _, fewest = by_hand(file, chip, told.placement, told.fills.arena_bytes)
    limits = range(told.fills.sram_bytes, told.trades[-1].sram_bytes // 2, -step * 1024)
    tried = [by_hand(file, chip, told.placement, limit) for limit in limits]
    return min(sram for sram, cycles in filter(None, tried) if cycles <= (1 + SAME) * fewest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--compiler", default="5.2")
    parser.add_argument("--step", type=int, default=8, help="KiB between two arenas")
    asked = parser.parse_args()
    chip = get_chip("sabre").asking(asked.compiler)
    print("| model | SRAM where it may take more | profile | by hand | more | M cycles |")
    print("| --- | --- | --- | --- | --- | --- |")
    missed = 0
    for file in asked.files:
        told = compile_for(file.read_bytes(), chip)
        found, hand = told.sram_bytes / 1024, least(file, chip, told, asked.step)
        more = found / hand - 1
        missed += more > BAR
        print(
            f"| {file.stem} | {told.fills.sram_bytes / 1024:.1f} | {found:.1f} | {hand:.1f} | "
            f"{more:+.1%} | {told.cycles / 1e6:.3f} |",
            flush=True,
        )
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
