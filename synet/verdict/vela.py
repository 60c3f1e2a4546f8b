"""What Arm's compiler Vela makes of a TFLite file: where it lies, what it costs, what is left over.

Vela runs as a process of its own, with a system configuration written from the chip's record:
it prints a lot, and ends the process on a file that it cannot read. It takes seconds, so what it
leaves is kept. Two versions of it are known, which schedule otherwise (`synet.verdict.program`),
and tell it otherwise (`synet.verdict.vela_report`).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from synet.chips import Chip
from synet.chips.record import Compiler, Memory
from synet.system.cache import remembered
from synet.system.errors import ChipError, UnfitError
from synet.system.steps import step
from synet.tflite.graph import Graph, Held, Operator, layer_path, read_graph
from synet.verdict.arena import explored, frontier, least_at_no_cost
from synet.verdict.program import Program, program
from synet.verdict.vela_report import (
    ARENA,
    CONFIGURATION,
    FORMS,
    NETWORK,
    PRINTED,
    Form,
    Report,
    Span,
)

WEIGHTS = "OffChipFlash"  # what Vela calls a memory to read from


@dataclass(frozen=True)
class Cost:
    """What one operation of a file costs.

    `sram_bytes` is what is in the arena while it runs. An operation that Vela does away with,
    such as a reshape, costs nothing.
    """

    layer: str
    op: str
    cycles: int = 0
    macs: int = 0
    sram_bytes: int = 0


@dataclass(frozen=True)
class Trade:
    """What a file costs in an arena of `arena_bytes`, which Vela takes as a limit."""

    arena_bytes: int
    sram_bytes: int
    cycles: int


@dataclass(frozen=True)
class Compiled:
    """A file as Vela compiles it for a chip.

    Parameters
    ----------
    version
        Of Vela.
    placement
        Name of the memory that holds the weights.
    arena_bytes
        What Vela was given for the activations.
    sram_bytes
        What they take.
    weight_bytes
        Of what lies in `placement`: compressed weights, scales, and the commands of the NPU.
    cycles, seconds
        Of one image, as Vela estimates them.
    macs
        Multiply-accumulates, as Vela counts them: those of pools are some, too.
    on_cpu
        Operations that are left to the processor, each with Vela's reason.
    costs
        One of each operation, in the order of the file.
    moments
        What the arena holds, moment after moment, the largest first.
    fills
        What Vela does where the arena may take all that there is; it saves no cycles by it.
    trades
        Less memory for more cycles: this file's own figures first, the least memory last.
    """

    version: str
    placement: str
    arena_bytes: int
    sram_bytes: int
    weight_bytes: int
    cycles: int
    seconds: float
    macs: int
    on_cpu: tuple[tuple[Operator, str], ...]
    costs: tuple[Cost, ...]
    moments: tuple[tuple[Held, ...], ...]
    fills: Trade | None = None
    trades: tuple[Trade, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """Images, one after the other."""
        return 1 / self.seconds if self.seconds else 0.0

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle."""
        return self.macs / self.cycles if self.cycles else 0.0

    @property
    def trade(self) -> Trade:
        """Its memory and its cycles."""
        return Trade(self.arena_bytes, self.sram_bytes, self.cycles)


def compile_for(content: bytes, chip: Chip) -> Compiled:
    """Compile a TFLite file for a chip, in the least memory that costs no cycles.

    The weights lie in the first memory that holds them. Where that is the arena's own, they leave
    it less room, which Vela is told.

    Parameters
    ----------
    content
        The file.
    chip
        One that has a compiler; `Chip.asking` chooses its version.

    Returns
    -------
    What Vela says. Where the weights are too large for every memory, or the activations for
    the arena, it says so in its figures and nowhere else.

    Raises
    ------
    SynetError
        Vela is not installed, or the file is not one.
    ChipError
        Vela cannot compile it.
    """
    if chip.compiler is None:
        raise ChipError(f"{chip.name} has no public compiler; its file says what it runs")
    asked = _Asked(content, read_graph(content), chip.compiler)
    placed = _placed(asked)
    if placed.sram_bytes > placed.arena_bytes:  # there is no room for it, so none to save
        return replace(placed, trades=(placed.trade,))
    smallest = asked.compile(placed.placement, placed.arena_bytes, "Size")
    found = explored(placed, smallest.sram_bytes, partial(asked.smaller, placed.placement))
    least = least_at_no_cost(found)
    trades = (one.trade for one in frontier(found, least.sram_bytes))
    return replace(least, fills=placed.trade, trades=tuple(trades))


def _placed(asked: _Asked) -> Compiled:
    """With the weights in the first memory that holds them, and all the rest for the arena."""
    compiler, compiled = asked.compiler, None
    arena = compiler.memories[compiler.arena].bytes
    for name in compiler.weights:
        compiled = asked.compile(name, arena)
        if name != compiler.arena:
            if compiled.weight_bytes <= (compiler.memories[name].bytes or compiled.weight_bytes):
                break
            continue
        room = arena - compiled.weight_bytes
        if 0 < room < compiled.sram_bytes:  # it uses what it is given, and may do with less
            compiled = asked.smaller(name, room) or compiled
        if compiled.sram_bytes + compiled.weight_bytes <= arena:
            break
    return compiled


def configuration(compiler: Compiler, weights: str, arena_bytes: int) -> str:
    """A chip in the words of Vela's configuration files.

    Parameters
    ----------
    weights
        Name of the memory that holds them.
    arena_bytes
        What the activations may take of their memory. Vela keeps to it where it can.
    """
    ports = {compiler.arena_port: ARENA, compiler.weights_port: WEIGHTS}
    memories = {ARENA: compiler.arena, WEIGHTS: weights}
    weights_port = compiler.weights_port
    if weights == compiler.arena:  # one memory, which Vela knows on one port only
        ports[compiler.weights_port] = ARENA
        weights_port = compiler.arena_port
        del memories[WEIGHTS]
    lines = [
        f"[System_Config.{CONFIGURATION}]",
        f"core_clock={compiler.clock_hz}",
        *(f"{port.lower()}_port={kind}" for port, kind in sorted(ports.items())),
        *(
            line
            for kind, name in memories.items()
            for line in _memory(kind, compiler.memories[name])
        ),
        f"[Memory_Mode.{CONFIGURATION}]",
        f"const_mem_area={weights_port}",
        f"arena_mem_area={compiler.arena_port}",
        f"cache_mem_area={compiler.arena_port}",
        f"arena_cache_size={arena_bytes}",
    ]
    return "\n".join(lines) + "\n"


def _memory(kind: str, memory: Memory) -> list[str]:
    values = {
        "clock_scale": memory.clock_scale,
        "burst_length": memory.burst_bytes,
        "read_latency": memory.read_latency,
        "write_latency": memory.write_latency,
        "max_reads": memory.reads,
        "max_writes": memory.writes,
    }
    return [f"{kind}_{key}={value}" for key, value in values.items()]


@dataclass(frozen=True)
class _Asked:
    """A file, and the compiler that is asked about it again and again."""

    content: bytes
    graph: Graph
    compiler: Compiler

    def compile(self, weights: str, arena_bytes: int, optimise: str = "Performance") -> Compiled:
        """What Vela says, with the weights in that memory and an arena of so many bytes."""
        compiler = self.compiler
        vela = program(compiler.version, compiler.versions[0])
        form = FORMS.get(vela.version.partition(".")[0])
        if form is None:
            raise ChipError(f"Vela {vela.version} is none that SyNet can read; it reads 4 and 5")
        arguments = (
            *("--accelerator-config", compiler.accelerator, "--optimise", optimise),
            *("--system-config", CONFIGURATION, "--memory-mode", CONFIGURATION),
            *form.arguments,
        )
        config = configuration(compiler, weights, arena_bytes)
        files = remembered(
            "vela",
            (vela.version, config, *arguments, self.content),
            lambda: json.dumps(_run(vela, form, self.content, config, arguments)).encode(),
        )
        try:
            report = form.read(json.loads(files), self.graph)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise ChipError(
                f"Vela {vela.version} does not report as is known of version "
                f"{compiler.version} ({type(error).__name__}: {error}): pip install "
                f"'ethos-u-vela=={compiler.versions[0]}.*'"
            ) from error
        return self._compiled(report, vela.version, weights, arena_bytes)

    def smaller(self, weights: str, arena_bytes: int) -> Compiled | None:
        """The same, but None where Vela fails: its version 4 does if it cannot keep to a limit."""
        with contextlib.suppress(ChipError):
            return self.compile(weights, arena_bytes)
        return None

    def _compiled(self, report: Report, version: str, weights: str, arena_bytes: int) -> Compiled:
        totals, operators = report.totals, self.graph.operators
        costs = [Cost(operator.layer, operator.name) for operator in operators]
        for at, cycles, macs, sram in report.steps:
            costs[at] = replace(
                costs[at],
                cycles=costs[at].cycles + cycles,
                macs=costs[at].macs + macs,
                sram_bytes=max(costs[at].sram_bytes, sram),
            )
        cycles = int(totals["cycles_total"])
        flash = sum(totals[f"{where}_chip_flash_memory_used"] for where in ("on", "off"))
        return Compiled(
            version=version,
            placement=weights,
            arena_bytes=arena_bytes,
            sram_bytes=round(totals["sram_memory_used"] * 1024),
            weight_bytes=round(flash * 1024),
            cycles=cycles,
            seconds=cycles / self.compiler.clock_hz,
            macs=int(totals["nn_macs"]),
            on_cpu=tuple((operators[at], reason) for at, reason in report.left.items()),
            costs=tuple(costs),
            moments=tuple(_moments(report.spans, self.graph)),
        )


def _run(
    vela: Program, form: Form, content: bytes, config: str, arguments: tuple[str, ...]
) -> dict[str, str]:
    """The files that Vela leaves, and what it printed."""
    step(f"asking Vela {vela.version}")
    with tempfile.TemporaryDirectory(prefix="synet-vela-") as folder:
        file, ini = Path(folder, f"{NETWORK}.tflite"), Path(folder, "chip.ini")
        file.write_bytes(content)
        ini.write_text(config)
        command = [*vela.command, file.name, "--config", str(ini), "--output-dir", folder]
        ran = subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env=dict(vela.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if ran.returncode:
            lines = ran.stdout.strip().splitlines() or [f"exit status {ran.returncode}"]
            why = next((line for line in reversed(lines) if "Error:" in line), lines[-1])
            raise UnfitError(f"Vela {vela.version} cannot compile the file: {why.strip()}")
        left = (Path(folder, name) for name in form.files)
        files = {path.name: path.read_text(errors="replace") for path in left if path.is_file()}
        return {**files, PRINTED: ran.stdout}


def _moments(spans: tuple[Span, ...], graph: Graph) -> Iterator[tuple[Held, ...]]:
    """What lies in the arena, moment after moment; tensors may share a place there."""
    layers = {graph.tensors[number].name: layer for number, layer in graph.writers().items()}
    held = {
        span: Held(
            "weights on their way" if span.is_buffer else _layer_of(span.name, layers), span.bytes
        )
        for span in sorted(spans, key=lambda span: -span.bytes)
    }
    for moment in sorted({span.begin for span in spans}):
        taken: list[tuple[int, int]] = []
        found = []
        for span, one in held.items():
            start, stop = span.address, span.address + span.bytes
            if span.begin <= moment <= span.end and all(stop <= a or start >= b for a, b in taken):
                taken.append((start, stop))
                found.append(one)
        yield tuple(found)


def _layer_of(name: str, layers: Mapping[str, str]) -> str:
    """The layer of a tensor, or of the one after which Vela has named a tensor of its own."""
    own = max((known for known in layers if name.startswith(known)), key=len, default="")
    return layers.get(own) or layer_path(name)
