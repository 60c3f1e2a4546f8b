"""What a chip's yaml file says, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from synet.system.errors import ChipError

# The activations that a network may be built with, and the operation that each is on a chip.
ACTIVATIONS = {"relu": "RELU", "relu6": "RELU6", "silu": "GELU", "hardswish": "HARD_SWISH"}


@dataclass(frozen=True)
class OpRule:
    """The limits of one operation; None is no limit.

    `kernel_max` bounds height and width of a kernel. `strides`, `dilations` and
    `scales` (whole factors of a resize) list what is allowed in either direction.
    """

    kernel_max: int | None = None
    strides: tuple[int, ...] | None = None
    dilations: tuple[int, ...] | None = None
    scales: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Spelling:
    """How far an export goes where it builds one operation of several others.

    Not what the chip can, but what pays there. Largest values: of the `kernel` of a convolution and
    of the `stride` of a mean that the chip itself does not limit; of the `parts` that are cut and
    joined to spare a TRANSPOSE; and of the `softmax_rows` that go through one SOFTMAX.
    """

    kernel: int
    stride: int
    parts: int
    softmax_rows: int

    def kernel_within(self, rule: OpRule | None) -> int:
        """The largest kernel of an operation that has these limits."""
        return rule.kernel_max if rule and rule.kernel_max else self.kernel

    def strides_within(self, rule: OpRule | None) -> tuple[int, ...]:
        """The strides of an operation that has these limits."""
        return rule.strides if rule and rule.strides else tuple(range(1, self.stride + 1))


@dataclass(frozen=True)
class Memory:
    """A memory as its NPU sees it.

    `bytes` is its size, None where nothing that is made for the chip fills it. `clock_scale` is
    its clock over the NPU's, the latencies are in cycles of the NPU, `burst_bytes` is what it
    gives at once, and `reads` and `writes` how many of those may be under way.
    """

    clock_scale: float
    burst_bytes: int
    read_latency: int
    reads: int
    write_latency: int = 0
    writes: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class Compiler:
    """The compiler that judges a file for a chip, and what it has to know of the chip.

    `versions` are those that may be asked, and `version` the one that is: the first, or what
    `Chip.asking` was given. `tables` are, by version, the activations that it makes a table of,
    which costs nothing behind a convolution. `arena` names the memory of the activations, and
    `weights` those that may hold the weights, in the order in which they are tried. The ports are
    those of the NPU.
    """

    name: str
    accelerator: str
    clock_hz: int
    macs_per_cycle: int
    arena: str
    arena_port: str
    weights: tuple[str, ...]
    weights_port: str
    memories: Mapping[str, Memory]
    versions: tuple[str, ...]
    version: str
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Chip:
    """What a chip runs.

    `ops` maps the TFLite name of every operation that a model may be built of to its limits,
    and `dtypes` the roles activations, weights and biases to their data types.
    `padding` lists the paddings of convolutions and pools, `activation` names the one that
    networks are built with. `alternatives` advises what to build in place of an operation that
    does not run.

    `spelling` is how an export builds what the chip has no operation for. `is_default` is for the
    chips of which one is taken where nobody names any. `file` is where all this was read.

    A chip has a `compiler` that judges a finished file, or else its `ops` and the two limits, in
    bytes, do. A compiler finds a place for the weights itself: there is no one limit.
    """

    name: str
    title: str
    image_channels: int
    activation: str
    padding: tuple[str, ...]
    dtypes: Mapping[str, tuple[str, ...]]
    ops: Mapping[str, OpRule]
    alternatives: Mapping[str, str]
    spelling: Spelling
    activations_max_bytes: int
    weights_max_bytes: int | None = None
    compiler: Compiler | None = None
    is_default: bool = False
    file: Path = field(default=Path(), compare=False)

    @property
    def free_activations(self) -> tuple[str, ...]:
        """TFLite operations that the compiler that is asked fuses into a convolution, as tables.

        None of a chip without a compiler, nor of a compiler of which its file does not tell.
        """
        return self.compiler.tables.get(self.compiler.version, ()) if self.compiler else ()

    @property
    def activations(self) -> tuple[str, ...]:
        """Those that a network for it may be built with."""
        return tuple(name for name, operation in ACTIVATIONS.items() if operation in self.ops)

    def with_activation(self, name: str | None) -> Chip:
        """This chip, for a network that is built with another activation; None: with its own.

        Raises
        ------
        ChipError
            It has no such activation.
        """
        if name is None:
            return self
        if name not in self.activations:
            raise ChipError(
                f"{self.name} has no activation {name!r}; it has {', '.join(self.activations)}"
            )
        return replace(self, activation=name)

    def asking(self, compiler: str) -> Chip:
        """This chip, judged by another version of its compiler.

        Parameters
        ----------
        compiler
            A version that the chip's file lists; or the path of a program, which knows its own.
            Empty: the one that is asked anyway.

        Raises
        ------
        ChipError
            The chip has no compiler, or not this one.
        """
        if not compiler:
            return self
        if self.compiler is None:
            raise ChipError(f"{self.name} has no public compiler; its file says what it runs")
        if compiler not in self.compiler.versions and not Path(compiler).is_file():
            raise ChipError(
                f"no {self.compiler.name} {compiler!r} is known for {self.name}; its file lists "
                f"{', '.join(self.compiler.versions)}; or give the path of a program"
            )
        return replace(self, compiler=replace(self.compiler, version=compiler))
