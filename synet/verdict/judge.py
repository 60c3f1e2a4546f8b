"""Whether a chip runs a file: its compiler says so, or its table where no compiler is public."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from synet.chips import Chip
from synet.tflite.graph import INPUT, Graph, Held, read_graph
from synet.verdict.check import (
    WEIGHTS,
    Violation,
    kib,
    overflows,
    problems_of,
    too_many_activations,
    too_many_weights,
    wrong_images,
    wrong_operations,
)
from synet.verdict.vela import Compiled, compile_for


@dataclass(frozen=True)
class Judgement:
    """A file, and what keeps a chip from running it.

    Parameters
    ----------
    operations
        What the chip does not run at whatever image size, in the order of execution.
    memory
        What does not fit.
    peak_bytes
        Of activations in memory at the worst moment.
    moments
        What is in memory, moment after moment, the largest first.
    compiled
        What the chip's compiler says, where it has one.
    """

    chip: Chip
    graph: Graph
    operations: tuple[Violation, ...]
    memory: tuple[Violation, ...]
    peak_bytes: int
    moments: tuple[tuple[Held, ...], ...]
    compiled: Compiled | None = None

    @property
    def violations(self) -> tuple[Violation, ...]:
        """All that keeps the chip from running it; empty if it fits."""
        return self.operations + self.memory

    @property
    def fullest(self) -> tuple[Held, ...]:
        """What is in memory at the worst moment, the largest first."""
        return fullest(self.moments)

    @property
    def excess_bytes(self) -> int:
        """How many bytes of activations are too much; negative where there is room."""
        return self.peak_bytes - self.chip.activations_max_bytes

    def verdict(self, ways: Callable[[Violation], str] = lambda violation: "") -> str:
        """One line: whether the chip runs it, with the figures and the limits.

        Parameters
        ----------
        ways
            What there is to add to activations that are too many: how they would fit.
        """
        if not self.violations:
            return f"fits {self.chip.name}: {', '.join(self._figures())}"
        told = []
        if self.operations:
            told.append(f"problem 1 of {len(self.violations)}: {self.violations[0]}")
        for violation in self.memory:
            if violation.kind == WEIGHTS:
                told.append(f"weights of {violation.problem}")
            else:
                excess = f"{kib(self.excess_bytes)} too much at layer {violation.where}"
                told.append(f"{excess}{ways(violation)}")
        return f"does not fit {self.chip.name}: {'; '.join(told)}"

    def _figures(self) -> list[str]:
        chip, compiled, graph = self.chip, self.compiled, self.graph
        used, limit = f"{self.peak_bytes / 1024:.1f}", kib(chip.activations_max_bytes)
        operations = len(graph.operators)
        if compiled is None:
            layer = graph.operators[graph.peak_activation()[1]].layer
            return [
                f"{used} of {limit} activations (peak at {layer})",
                f"{graph.weight_bytes / 1024:.1f} of {kib(chip.weights_max_bytes)} weights",
                f"all {operations} operations supported",
            ]
        return [
            f"{used} of {limit} SRAM",
            f"{kib(compiled.weight_bytes)} of weights in {compiled.placement}",
            f"{compiled.cycles / 1e6:.2f} M cycles",
            f"{1e3 * compiled.seconds:.2f} ms ({compiled.frames_per_second:.1f} frames a second)",
            f"all {operations} operations on the NPU, says Vela {compiled.version}",
        ]


def fullest(moments: Iterable[tuple[Held, ...]]) -> tuple[Held, ...]:
    """The moment at which the most is in memory."""
    return max(moments, key=lambda moment: sum(held.bytes for held in moment), default=())


def judge(content: bytes, chip: Chip) -> Judgement:
    """Ask the chip's compiler, or its table, whether the chip runs a TFLite file.

    Raises
    ------
    SynetError
        Not a TFLite file, or the compiler is not installed.
    ChipError
        The compiler cannot compile it.
    """
    graph = read_graph(content)
    images = wrong_images(graph, chip)
    if chip.compiler is None:
        return Judgement(
            chip=chip,
            graph=graph,
            operations=(*images, *wrong_operations(graph, chip)),
            memory=tuple(overflows(graph, chip)),
            peak_bytes=graph.peak_activation()[0],
            moments=tuple(graph.alive(step) for step in range(len(graph.operators))),
        )
    compiled = compile_for(content, chip)
    return Judgement(
        chip=chip,
        graph=graph,
        operations=(*images, *_left_over(compiled, graph, chip)),
        memory=tuple(_too_much(compiled, chip)),
        peak_bytes=compiled.sram_bytes,
        moments=compiled.moments,
        compiled=compiled,
    )


def _left_over(compiled: Compiled, graph: Graph, chip: Chip) -> Iterator[Violation]:
    """What the compiler leaves to the processor."""
    for operator, reason in compiled.on_cpu:
        tensors = [graph.tensors[number] for number in (*operator.inputs, *operator.outputs)]
        beyond = [fix for _, fix in problems_of(graph, operator, chip)]
        if any(tensor.dtype.startswith("float") for tensor in tensors):
            fix = "quantize it, its input and outputs included, with `synet quantize`"
        elif operator.name in chip.ops and beyond:
            fix = beyond[0]
        else:
            fix = chip.alternatives.get(operator.name, "leave it to the application")
        problem = f"{operator.name} runs on {chip.name}'s CPU, not on its NPU ({reason})"
        yield Violation(operator.layer, problem, fix)


def _too_much(compiled: Compiled, chip: Chip) -> Iterator[Violation]:
    limit = chip.compiler.memories[compiled.placement].bytes
    if limit is not None and compiled.weight_bytes > limit:
        yield too_many_weights(compiled.weight_bytes, limit, chip)
    if compiled.sram_bytes > chip.activations_max_bytes:
        worst = fullest(compiled.moments)
        layer = next((held.layer for held in worst if held.layer != INPUT), INPUT)
        yield too_many_activations(layer, compiled.sram_bytes, chip)
