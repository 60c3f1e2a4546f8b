"""What a model costs, layer by layer, and whether a chip can run it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet.chips import Chip, chip_for_images, get_chip
from synet.inspection.claimed import built, claimed
from synet.system.errors import SynetError
from synet.system.steps import step
from synet.tflite.graph import read_graph
from synet.tflite.metadata import notes_of
from synet.tflite.model import read_content, read_metadata
from synet.verdict.check import ACTIVATIONS, Violation
from synet.verdict.fit import fitting_channels, fitting_shape, row_of
from synet.verdict.judge import Judgement, judge

if TYPE_CHECKING:
    from torch import nn

    from synet.verdict.vela import Compiled

PATIENCE_SECONDS = 20  # of work, after which no more files are made to find one that fits


@dataclass(frozen=True)
class Row:
    """One operation: the layer it belongs to, its output, and what it takes.

    `bytes` is the size of its output, `alive_bytes` that of all activations in
    memory while it runs; `share` is its part of all multiply-accumulates, 0 to 1. `cycles` is
    what the chip's compiler says, None for a chip without one; `alive_bytes` is its word too then.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    bytes: int
    alive_bytes: int
    weight_bytes: int
    macs: int
    share: float
    cycles: int | None = None


@dataclass(frozen=True)
class Fit:
    """How a model that is too large would fit; each was tried, None where nothing was found.

    `shape` is the height and width of its image, `channels` a row of its yaml and how many
    channels that shall have.
    """

    shape: tuple[int, int] | None = None
    channels: tuple[int, int] | None = None


@dataclass(frozen=True)
class Profile:
    """The costs of a model, and what of it `chip` cannot run.

    `notes` is what its file tells of itself that its user has to know; mostly nothing.
    """

    model: str
    rows: tuple[Row, ...]
    judged: Judgement
    fit: Fit = Fit()
    notes: tuple[str, ...] = ()

    @property
    def chip(self) -> Chip:
        return self.judged.chip

    @property
    def compiled(self) -> Compiled | None:
        """What the chip's compiler makes of it, where it has one."""
        return self.judged.compiled

    @property
    def violations(self) -> tuple[Violation, ...]:
        return self.judged.violations

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

    def verdict(self) -> str:
        """One line: whether it fits the chip, with the figures and the limits."""
        return self.judged.verdict(self._ways)

    def _ways(self, violation: Violation) -> str:
        shape, thin = self.fit.shape, self.fit.channels
        ways = [f"at {shape[0]}x{shape[1]}"] if shape else []
        if thin:
            row, channels = thin
            there = row == row_of(violation.where)
            ways.append(f"with {channels} channels {'there' if there else f'in model.{row}'}")
        return f"; {', or '.join(ways)}, it fits" if ways else ""


def profile(
    model: str | Path | bytes,
    chip: str | Chip | None = None,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    compiler: str = "",
    cfg: str | Path | None = None,
) -> Profile:
    """The costs of a model as the int8 file that it is, or would become.

    Parameters
    ----------
    model
        A .tflite file or its content; or a model yaml, a name from the zoo or a .pt checkpoint,
        exported with random images: the values of weights play no part in what a model costs.
    chip
        The chip to check against, by name or as a record. Default: the one that the model itself
        names; of a file that names none see `chip_of`.
    image_shape
        Height and width in pixels; the model's own unless given.
    repo, cfg
        As for `synet.get_model`.
    compiler
        The version of the chip's compiler to ask, see `synet.chips.Chip.asking`. Default: the
        first that the chip's file lists.

    Raises
    ------
    SynetError
        The model cannot be read, or a .tflite file has another image shape.
    ChipError
        There is no such chip, or it has no such compiler.

    Examples
    --------
    >>> costs = synet.profile("best.tflite", "katana")
    >>> costs.violations, costs.peak.layer, costs.macs
    ((), 'model.1.first.conv', 467712)
    """
    if isinstance(chip, str):
        chip = get_chip(chip)
    if isinstance(model, bytes) or Path(model).suffix == ".tflite":
        return _of_file(model, chip, image_shape, compiler)
    if claimed(model, image_shape, repo):
        found = _of_the_zoo(model, chip, compiler)
        if not found.violations:
            return found
    started = time.process_time()
    from synet.models.get_model import load_network
    from synet.models.trained import chip_for

    step(f"building {model}")
    asked = chip.name if chip else None
    network, shape = load_network(model, image_shape, repo, asked, cfg)
    target = (chip or chip_for(network)).asking(compiler)
    rebuild = None  # trained channels are what they are
    if Path(model).suffix != ".pt":
        rebuild = partial(rebuilt, Path(model), repo=repo, chip=asked)
    return profile_network(network, shape, str(model), target, rebuild, started)


def profile_network(
    network: nn.Module,
    shape: tuple[int, int],
    name: str,
    chip: Chip,
    rebuild: Callable[[dict[str, Any]], nn.Module] | None = None,
    started: float | None = None,
) -> Profile:
    """`profile` of a network that is there already.

    Parameters
    ----------
    shape
        Height and width of its image.
    name
        What to call it.
    rebuild
        Builds it from another definition, where its channels may change.
    started
        Since when somebody waits, by ``time.process_time()``.
    """
    started = time.process_time() if started is None else started
    from synet.export.convert import inspection_bytes

    step("making its int8 file")
    found = _profile(name, inspection_bytes(network, shape, chip), chip)
    if [violation.kind for violation in found.violations] != [ACTIVATIONS]:
        return found  # it fits, or would not for being smaller
    stride, smaller, thinner = int(max(network.stride)), None, None
    step("looking for the image size and the channels at which it would fit")

    with contextlib.suppress(SynetError):  # what cannot even be built is no advice
        smaller = fitting_shape(
            found.judged, shape, stride, lambda other: inspection_bytes(network, other, chip)
        )
    if rebuild is not None:
        with contextlib.suppress(SynetError):
            thinner = fitting_channels(
                found.judged,
                network.yaml,
                lambda other: inspection_bytes(rebuild(other), shape, chip),
                started + PATIENCE_SECONDS,
            )
    return replace(found, fit=Fit(smaller, thinner))


def _of_file(
    model: str | Path | bytes,
    chip: Chip | None,
    image_shape: tuple[int, int] | None,
    compiler: str,
) -> Profile:
    name, content = ("model", model) if isinstance(model, bytes) else read_content(model)
    found = _profile(name, content, (chip or chip_of(content)).asking(compiler))
    graph = found.judged.graph
    own = graph.tensors[graph.inputs[0]].shape[1:3]
    if image_shape is not None and own != tuple(image_shape):
        raise SynetError(
            f"{name} is made for images of {own}, not {tuple(image_shape)} (height, width)"
        )
    return found


def _of_the_zoo(model: str | Path, chip: Chip | None, compiler: str) -> Profile:
    """`profile` of a model of the zoo as it is, whose file is made once."""

    def make() -> bytes:
        import torch

        from synet.models.get_model import to_tflite_bytes

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return to_tflite_bytes(model)

    content = built("inspection", model, make)
    return _profile(str(model), content, (chip or claimed(model).chip).asking(compiler))


def chip_of(content: bytes) -> Chip:
    """The chip that a TFLite file names; of one that names none, that whose camera it is made for.

    That is the default chip with the fewest channels that are enough: Katana for gray images, Sabre
    for colour.
    """
    named = read_metadata(content).get("chip")
    if named:
        return get_chip(named)
    graph = read_graph(content)
    channels = (graph.tensors[graph.inputs[0]].shape or (0,))[-1]
    return chip_for_images(channels)


def _profile(name: str, content: bytes, chip: Chip) -> Profile:
    judged = judge(content, chip)
    return Profile(name, _rows(judged), judged, notes=tuple(notes_of(read_metadata(content))))


def rebuilt(
    model: Path, definition: dict[str, Any], repo: str | Path | None, chip: str | None
) -> nn.Module:
    """The network of another definition under the same name, in which its scale may stand."""
    import yaml

    from synet.models.forks import quiet
    from synet.models.get_model import get_model

    with tempfile.TemporaryDirectory(prefix="synet-") as folder, quiet():
        file = Path(folder, model.name).with_suffix(".yaml")
        file.write_text(yaml.safe_dump(definition), encoding="utf-8")
        return get_model(file, repo, chip=chip)


def _rows(judged: Judgement) -> tuple[Row, ...]:
    graph, compiled = judged.graph, judged.compiled
    total = graph.macs or 1
    costs = compiled.costs if compiled else [None] * len(graph.operators)
    alive = [cost.sram_bytes for cost in compiled.costs] if compiled else graph.alive_bytes()
    return tuple(
        Row(
            layer=operator.layer,
            op=operator.name,
            shape=graph.tensors[operator.outputs[0]].shape,
            bytes=sum(graph.tensors[number].bytes for number in operator.outputs),
            alive_bytes=size,
            weight_bytes=operator.weight_bytes,
            macs=operator.macs,
            share=operator.macs / total,
            cycles=cost.cycles if cost else None,
        )
        for operator, size, cost in zip(graph.operators, alive, costs, strict=True)
    )
