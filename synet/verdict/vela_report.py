"""What Vela tells of a file, as its major versions tell it.

Version 5 writes tables for debuggers, which number the operations as the file does. Version 4
writes a table and prints the rest, and knows operations by the names of their outputs.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from synet.tflite.graph import Graph

NETWORK = "model"  # the name of the file, and of those that Vela writes
CONFIGURATION = "chip"  # the name of the only one in a file of ours
ARENA = "Sram"  # what Vela calls a memory to write to
SUMMARY, DEBUG, LAYERS = (
    f"{NETWORK}_summary_{CONFIGURATION}.csv",
    f"{NETWORK}_debug.xml",
    f"{NETWORK}_per-layer.csv",
)
PRINTED = "printed"  # among the files that a run leaves: what it said
SILENT = "it does not say why"

Files = Mapping[str, str]
Table = list[dict[str, str]]


class Step(NamedTuple):
    """What Vela makes of an operation of the file, or of a part of it."""

    operator: int
    cycles: int
    macs: int
    sram_bytes: int


class Span(NamedTuple):
    """A place in the arena, and the moments from and to which something lies there."""

    name: str
    bytes: int
    address: int
    begin: int
    end: int
    is_buffer: bool  # of weights that are read ahead


@dataclass(frozen=True)
class Report:
    """What Vela tells: totals by its own names, and why operations are left to the processor."""

    totals: Mapping[str, float]
    steps: tuple[Step, ...]
    left: Mapping[int, str]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Form:
    """How a major version of Vela is asked, and read."""

    arguments: tuple[str, ...]
    files: tuple[str, ...]
    read: Callable[[Files, Graph], Report]


def _read_5(files: Files, graph: Graph) -> Report:
    tables = _tables(files[DEBUG])
    # an operation of the file may become several, each of which knows where it comes from
    sources = {row["id"]: int(row["ext_key"]) for row in tables["source"]}
    reasons = re.findall(
        r"^Warning \(supported operators\) operator: .*, ofm: '(.*)'\nReason: (.*)$",
        files[PRINTED],
        re.MULTILINE,
    )
    numbered = [(sources[row["source_id"]], row) for row in tables["perf"]]
    return Report(
        totals=_totals(files),
        steps=tuple(
            Step(at, *(int(row[key]) for key in ("op_cycles", "mac_count", "staging_usage")))
            for at, row in numbered
        ),
        left=_told(
            (at for at, row in numbered if row["operator"] == "Passthrough"), dict(reasons), graph
        ),
        spans=tuple(
            Span(
                row["name"],
                *(int(row[key], 16) for key in ("size", "start_address")),
                *(int(row[key]) for key in ("start_time", "end_time")),
                row["usage"] == "OpBuffering",
            )
            for row in tables["tensors"]
            if row["memory"] == ARENA
        ),
    )


def _read_4(files: Files, graph: Graph) -> Report:
    printed = files[PRINTED]
    writers = {
        graph.tensors[number].name: at
        for at, operator in enumerate(graph.operators)
        for number in operator.outputs
    }
    reasons = {
        name: reason or "a CPU only op"
        for name, reason in re.findall(
            r"^(?:Info|Warning): .*?\w+ '(.*)'(?: is a CPU only op|.*\n - (.*))$",
            printed,
            re.MULTILINE,
        )
    }
    left = re.findall(r"^   CPU: \w+ = (.*) \(inputs .*$", printed, re.MULTILINE)
    allocated = re.search(
        rf"^Tensor Allocation for mem_area {ARENA},.*\n.*\n(.*(?:\n .*)*)", printed, re.MULTILINE
    )
    return Report(
        totals=_totals(files),
        steps=tuple(_steps_4(_rows(files.get(LAYERS, "")), writers)),
        left=_told((writers[name] for name in left if name in writers), reasons, graph),
        spans=tuple(_spans_4(allocated[1] if allocated else "")),
    )


def _steps_4(rows: Table, writers: Mapping[str, int]) -> Iterator[Step]:
    at = 0
    for row in rows:
        if row["Name"] == "Name":
            continue  # behind what is left to the CPU the table begins anew, with its head
        # what Vela makes of one operation is named after that and numbered
        known = (name for name in writers if name and row["Name"].startswith(name))
        at = writers.get(row["Name"], writers.get(max(known, key=len, default=""), at))
        figures = (int(float(row[key])) for key in ("Op Cycles", "MAC Count", "SRAM Usage"))
        yield Step(at, *figures)


def _spans_4(text: str) -> Iterator[Span]:
    for line in text.splitlines():
        times, addresses, size, _, purpose, name = re.split(r"\s*: \s*", line, maxsplit=5)
        begin, end = map(int, times.split("-"))
        start = int(addresses.split("-")[0], 16)
        yield Span(name, int(size), start, begin, end, purpose == "Weights")


def _told(operators: Iterator[int], reasons: Mapping[str, str], graph: Graph) -> dict[int, str]:
    """The reason of each operation, in the order of the file."""
    found = {}
    for at in sorted({*operators}):
        names = [graph.tensors[number].name for number in graph.operators[at].outputs]
        found[at] = next((reasons[name] for name in names if name in reasons), SILENT)
    return {at: reason.strip().rstrip(".:") for at, reason in found.items()}


def _totals(files: Files) -> dict[str, float]:
    (row,) = _rows(files[SUMMARY])
    keys = ("sram_memory_used", "cycles_total", "nn_macs")
    flash = ("on_chip_flash_memory_used", "off_chip_flash_memory_used")
    return {key: float(row[key]) for key in (*keys, *flash)}


def _tables(text: str) -> dict[str, Table]:
    found = re.findall(r'<table name="(\w+)">\n<!\[CDATA\[\n(.*?)\n\]\]>', text, re.DOTALL)
    return {name: _rows(content) for name, content in found}


def _rows(text: str) -> Table:
    return list(csv.DictReader(text.splitlines()))


_TOLD = ("--verbose-performance", "--verbose-allocation", "--show-cpu-operations")
FORMS = {
    "4": Form(_TOLD, (SUMMARY, LAYERS), _read_4),
    "5": Form(("--enable-debug-db",), (SUMMARY, DEBUG), _read_5),
}
