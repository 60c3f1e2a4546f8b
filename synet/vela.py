"""What Arm's compiler Vela makes of a TFLite file: where it lies, what it costs, what is left over.

Vela runs as a process of its own, with a system configuration written from the chip's record:
it prints a lot, and ends the process on a file that it cannot read. Its figures are
read from the tables that it writes for debuggers, which number the operations as the file does.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from synet.chips import Chip
from synet.chips.record import Compiler, Memory
from synet.errors import ChipError, SynetError, UnfitError
from synet.extras import install_command
from synet.graph import Graph, Held, Operator, layer_path, read_graph
from synet.system import confined

MODULE = "ethosu.vela"
RUN = "import runpy; runpy.run_module('{}', run_name='__main__', alter_sys=True)"
SECONDS = 600  # of the processor; networks that fit a chip take some
CONFIGURATION = "chip"  # the name of the only one in a file of ours
ARENA, WEIGHTS = "Sram", "OffChipFlash"  # what Vela calls a memory to write to, one to read from
CPU = "Passthrough"  # what it calls an operation that it does not touch
BUFFER = "OpBuffering"  # and the use of memory for weights that are read ahead

Table = list[dict[str, str]]


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
class Compiled:
    """A file as Vela compiles it for a chip.

    Parameters
    ----------
    placement
        Name of the memory that holds the weights.
    sram_bytes
        Of the arena, the memory of the activations.
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
    """

    placement: str
    sram_bytes: int
    weight_bytes: int
    cycles: int
    seconds: float
    macs: int
    on_cpu: tuple[tuple[Operator, str], ...]
    costs: tuple[Cost, ...]
    moments: tuple[tuple[Held, ...], ...]

    @property
    def frames_per_second(self) -> float:
        """Images, one after the other."""
        return 1 / self.seconds if self.seconds else 0.0

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle."""
        return self.macs / self.cycles if self.cycles else 0.0


def compile_for(content: bytes, chip: Chip) -> Compiled:
    """Compile a TFLite file for a chip, with its weights in the first memory that holds them.

    Where that is the arena's own, the weights leave it less room, which Vela is told.

    Parameters
    ----------
    content
        The file.
    chip
        One that has a compiler.

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
    try:
        found = importlib.util.find_spec(MODULE)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SynetError(
            f"judging a file for {chip.name} needs its compiler Vela: {install_command('sabre')}"
        )
    graph, compiler = read_graph(content), chip.compiler
    arena = compiler.memories[compiler.arena].bytes
    compiled = None
    for name in compiler.weights:
        compiled = _compile(content, graph, compiler, name, arena)
        if name != compiler.arena:
            if compiled.weight_bytes <= (compiler.memories[name].bytes or compiled.weight_bytes):
                break
            continue
        room = arena - compiled.weight_bytes
        if 0 < room < compiled.sram_bytes:  # it uses what it is given, and may do with less
            compiled = _compile(content, graph, compiler, name, room)
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


def _compile(
    content: bytes, graph: Graph, compiler: Compiler, weights: str, arena_bytes: int
) -> Compiled:
    with tempfile.TemporaryDirectory(prefix="synet-vela-") as folder:
        file, config = Path(folder, "model.tflite"), Path(folder, "chip.ini")
        file.write_bytes(content)
        config.write_text(configuration(compiler, weights, arena_bytes))
        command = [
            *confined.command(RUN.format(MODULE), SECONDS),
            *(file.name, "--config", str(config)),
            *("--accelerator-config", compiler.accelerator, "--optimise", "Performance"),
            *("--system-config", CONFIGURATION, "--memory-mode", CONFIGURATION),
            *("--output-dir", folder, "--enable-debug-db"),
        ]
        ran = subprocess.run(
            command,
            cwd=folder,
            env=confined.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if ran.returncode:
            last = ran.stdout.strip().splitlines()[-1:] or [f"exit status {ran.returncode}"]
            raise UnfitError(f"Vela cannot compile the file: {last[0].strip()}")
        try:
            return _read(Path(folder), ran.stdout, graph, compiler, weights)
        except (KeyError, ValueError, IndexError, OSError) as error:
            raise ChipError(
                f"Vela does not report as its version 5.2 does ({type(error).__name__}: {error}): "
                f"pip install 'ethos-u-vela==5.2.*'"
            ) from error


def _read(folder: Path, printed: str, graph: Graph, compiler: Compiler, weights: str) -> Compiled:
    summary = _rows(Path(folder, f"model_summary_{CONFIGURATION}.csv").read_text())[0]
    tables = _tables(Path(folder, "model_debug.xml").read_text(errors="replace"))
    # an operation of the file may become several, each of which knows where it comes from
    sources = {row["id"]: int(row["ext_key"]) for row in tables["source"]}
    costs = [Cost(operator.layer, operator.name) for operator in graph.operators]
    left = set()
    for row in tables["perf"]:
        at = sources[row["source_id"]]
        costs[at] = replace(
            costs[at],
            cycles=costs[at].cycles + int(row["op_cycles"]),
            macs=costs[at].macs + int(row["mac_count"]),
            sram_bytes=max(costs[at].sram_bytes, int(row["staging_usage"])),
        )
        if row["operator"] == CPU:
            left.add(at)
    on_cpu = [graph.operators[at] for at in sorted(left)]
    cycles = int(float(summary["cycles_total"]))
    flash = sum(float(summary[f"{where}_chip_flash_memory_used"]) for where in ("on", "off"))
    return Compiled(
        placement=weights,
        sram_bytes=round(float(summary["sram_memory_used"]) * 1024),
        weight_bytes=round(flash * 1024),
        cycles=cycles,
        seconds=cycles / compiler.clock_hz,
        macs=int(float(summary["nn_macs"])),
        on_cpu=tuple(zip(on_cpu, _reasons(on_cpu, graph, printed), strict=True)),
        costs=tuple(costs),
        moments=tuple(_moments(tables["tensors"], graph)),
    )


def _reasons(operators: Iterable[Operator], graph: Graph, printed: str) -> list[str]:
    """What Vela printed of each operation that it leaves out."""
    told = re.findall(
        r"^Warning \(supported operators\) operator: .*, ofm: '(.*)'\nReason: (.*)$",
        printed,
        re.MULTILINE,
    )
    reasons = {name: reason.strip().rstrip(".") for name, reason in told}
    names = [[graph.tensors[number].name for number in op.outputs] for op in operators]
    return [next((reasons[n] for n in own if n in reasons), "it does not say why") for own in names]


def _moments(tensors: Table, graph: Graph) -> Iterator[tuple[Held, ...]]:
    """What lies in the arena, moment after moment; tensors may share a place there."""
    layers = {graph.tensors[number].name: layer for number, layer in graph.writers().items()}
    spans = []
    for row in tensors:
        if row["memory"] != ARENA:
            continue
        buffer = row["usage"] == BUFFER
        layer = "weights on their way" if buffer else _layer_of(row["name"], layers)
        size, start = int(row["size"], 16), int(row["start_address"], 16)
        spans.append((Held(layer, size), start, int(row["start_time"]), int(row["end_time"])))
    spans.sort(key=lambda span: -span[0].bytes)
    for moment in sorted({begin for _, _, begin, _ in spans}):
        taken: list[tuple[int, int]] = []
        found = []
        for held, start, begin, end in spans:
            stop = start + held.bytes
            if begin <= moment <= end and all(stop <= a or start >= b for a, b in taken):
                taken.append((start, stop))
                found.append(held)
        yield tuple(found)


def _layer_of(name: str, layers: Mapping[str, str]) -> str:
    """The layer of a tensor, or of the one after which Vela has named a tensor of its own."""
    own = max((known for known in layers if name.startswith(known)), key=len, default="")
    return layers.get(own) or layer_path(name)


def _tables(text: str) -> dict[str, Table]:
    found = re.findall(r'<table name="(\w+)">\n<!\[CDATA\[\n(.*?)\n\]\]>', text, re.DOTALL)
    return {name: _rows(content) for name, content in found}


def _rows(text: str) -> Table:
    return list(csv.DictReader(text.splitlines()))
