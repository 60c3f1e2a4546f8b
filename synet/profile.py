"""What a model costs, layer by layer, and whether a chip can run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synet.chips import Chip, Violation, get_chip, violations
from synet.chips.check import kib
from synet.errors import SynetError
from synet.graph import Graph, read_graph

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One operation: the layer it belongs to, its output, and what it takes.

    `bytes` is the size of its output, `alive_bytes` that of all activations in
    memory while it runs; `share` is its part of all multiply-accumulates, 0 to 1.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    bytes: int
    alive_bytes: int
    weight_bytes: int
    macs: int
    share: float


@dataclass(frozen=True)
class Profile:
    """The costs of a model, and what of it `chip` cannot run (nothing, where no chip is given)."""

    model: str
    rows: tuple[Row, ...]
    chip: Chip | None
    violations: tuple[Violation, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(row.macs for row in self.rows)

    @property
    def weight_bytes(self) -> int:
        return sum(row.weight_bytes for row in self.rows)

    @property
    def peak(self) -> Row:
        """The row during which the most activations are in memory."""
        return max(self.rows, key=lambda row: row.alive_bytes)

    def table(self) -> Table:
        """A row per operation, and the totals below."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=self.model, show_footer=True)
        table.add_column("layer", "total", overflow="fold")
        table.add_column("operation", str(len(self.rows)))
        table.add_column("output")
        table.add_column("KiB", justify="right")
        table.add_column("alive KiB", _kib(self.peak.alive_bytes), justify="right")
        table.add_column("weights KiB", _kib(self.weight_bytes), justify="right")
        table.add_column("MMAC", f"{self.macs / 1e6:.2f}", justify="right")
        table.add_column("share", justify="right")
        for row in self.rows:
            table.add_row(
                escape(row.layer),
                row.op,
                "x".join(map(str, row.shape)),
                _kib(row.bytes),
                _kib(row.alive_bytes),
                _kib(row.weight_bytes) if row.weight_bytes else "",
                f"{row.macs / 1e6:.2f}" if row.macs else "",
                f"{row.share:.1%}" if row.macs else "",
                style="bold" if row is self.peak else None,
            )
        return table

    def verdict(self) -> str:
        """One line: whether it fits the chip, with the figures and the limits."""
        if self.chip is None:
            return (
                f"{kib(self.peak.alive_bytes)} of activations (peak at {self.peak.layer}), "
                f"{kib(self.weight_bytes)} of weights, {self.macs / 1e6:.1f} MMAC"
            )
        memory = (
            f"{self.peak.alive_bytes / 1024:.1f} of {kib(self.chip.activations_max_bytes)} "
            f"activations (peak at {self.peak.layer}), "
            f"{self.weight_bytes / 1024:.1f} of {kib(self.chip.weights_max_bytes)} weights"
        )
        if not self.violations:
            return f"fits {self.chip.name}: {memory}, all {len(self.rows)} operations supported"
        return (
            f"does not fit {self.chip.name}: {memory}; problem 1 of {len(self.violations)}: "
            f"{self.violations[0]}"
        )


def profile(
    model: str | Path | bytes,
    chip: str | Chip | None = None,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
) -> Profile:
    """The costs of a model as the int8 file that it is, or would become.

    Parameters
    ----------
    model
        A .tflite file or its content; or a model yaml, a name from the zoo or
        a .pt checkpoint, which are exported with random images: the weights'
        values play no part in what a model costs.
    chip
        The chip to check against, by name or as a record; none, no check.
    image_shape
        Height and width in pixels; the model's own unless given.
    repo
        The folder of the fork that made the checkpoint, where there is one.

    Raises
    ------
    SynetError
        The model cannot be read, or a .tflite file has another image shape.
    ChipError
        There is no such chip.
    """
    if isinstance(chip, str):
        chip = get_chip(chip)
    if isinstance(model, bytes):
        name, graph = "model", read_graph(model)
    elif Path(model).suffix == ".tflite":
        name, graph = str(model), read_graph(model)
    else:
        from synet.quantize import to_tflite_bytes

        name, graph = str(model), read_graph(to_tflite_bytes(model, image_shape, repo))
    own_shape = graph.tensors[graph.inputs[0]].shape[1:3]
    if image_shape is not None and own_shape != tuple(image_shape):
        raise SynetError(
            f"{name} is made for images of {own_shape}, not {tuple(image_shape)} (height, width)"
        )
    return Profile(
        model=name,
        rows=_rows(graph),
        chip=chip,
        violations=tuple(violations(graph, chip)) if chip else (),
    )


def _rows(graph: Graph) -> tuple[Row, ...]:
    total = graph.macs or 1
    return tuple(
        Row(
            layer=operator.layer,
            op=operator.name,
            shape=graph.tensors[operator.outputs[0]].shape,
            bytes=sum(graph.tensors[number].bytes for number in operator.outputs),
            alive_bytes=alive,
            weight_bytes=operator.weight_bytes,
            macs=operator.macs,
            share=operator.macs / total,
        )
        for operator, alive in zip(graph.operators, graph.alive_bytes(), strict=True)
    )


def _kib(count: int) -> str:
    return f"{count / 1024:.1f}"
