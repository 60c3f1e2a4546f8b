"""The sections of a report as plain data: a function each, and nothing of how they look."""

from __future__ import annotations

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.data.yolo_yaml import Dataset
from synet.evaluation.chance import Change, changes
from synet.evaluation.class_names import unique_name
from synet.evaluation.curves import RECALLS, Curve, matches_of
from synet.evaluation.evaluate import class_precision, mean_precision
from synet.evaluation.found import Found
from synet.inspection.profile import Profile
from synet.system.version import PACKAGE, VERSION
from synet.tflite.graph import INPUT
from synet.tflite.kernels import Kernels
from synet.tflite.metadata import doubt_of
from synet.tflite.model import read_metadata
from synet.verdict.check import problems_of

if TYPE_CHECKING:
    from synet.verdict.check import Violation

MEAN = "mean of the classes"
# What the figures of a report may depend on, by the names of their packages.
PACKAGES = {
    "torch": "torch",
    "TensorFlow": "tensorflow-cpu tensorflow",
    "Keras": "keras",
    "Vela": "ethos-u-vela",
    "LiteRT": "ai-edge-litert",
    "ultralytics": "ultralytics",
    "yolov5": "yolov5",
    "pycocotools": "pycocotools",
}


@dataclass(frozen=True)
class Missing:
    """A section that is not there, and why."""

    reason: str


@dataclass(frozen=True)
class Verdict:
    """Whether the chip runs the model.

    Parameters
    ----------
    why
        One line, with the figures and the limits, or with what is too much.
    judge
        Who says so: the chip's compiler, or the chip's file.
    frames_per_second, milliseconds
        What the compiler estimates; None where it is not public.
    problems
        All that keeps the chip from running the model.
    """

    chip: str
    fits: bool
    why: str
    judge: str
    frames_per_second: float | None
    milliseconds: float | None
    problems: tuple[Violation, ...]


@dataclass(frozen=True)
class LayerCost:
    """The operations that one layer of the network became, and what they cost.

    Parameters
    ----------
    name, short
        Its path, and the same as an axis has room for it; both differ from those of all others.
    ops, shape
        Its operations, and the shape of what the last one writes.
    alive_bytes
        Of activations in memory at its fullest moment; 0 where the compiler did away with it.
    cycles
        None where no compiler tells.
    """

    name: str
    short: str
    ops: tuple[str, ...]
    shape: tuple[int, ...]
    alive_bytes: int
    macs: int
    cycles: int | None


@dataclass(frozen=True)
class OperationKind:
    """All operations of one kind: how many, how many of them the chip runs, and their cost."""

    name: str
    count: int
    runs: int
    macs: int
    cycles: int | None
    share: float


@dataclass(frozen=True)
class ClassLine:
    """Precision of one class, or the mean of all, at COCO's 101 recalls and an IoU of 0.5.

    `confidence` is the highest at which a recall is reached, NaN where it is at none; None for a
    mean. `labels` is how many there are to be found.
    """

    precision: np.ndarray
    confidence: np.ndarray | None = None
    labels: int = 0


@dataclass(frozen=True)
class Accuracy:
    """How well a model finds the objects of a split; as an evaluation's `Report`, with curves.

    Parameters
    ----------
    per_class
        Average precision at IoU 0.50, and over 0.50 to 0.95, of each class that the labels show.
    lines
        The curve of each of these classes; where there are several the first one is their mean.
    """

    map50: float
    map50_95: float
    per_class: Mapping[str, tuple[float, float]]
    lines: Mapping[str, ClassLine]
    images: int
    boxes: int


@dataclass(frozen=True)
class Trade:
    """Less memory for more time: KiB of activations, ms an image, and that over the first's."""

    kib: float
    milliseconds: float
    cycles: int
    more: float
    arena_bytes: int


def verdict(profile: Profile) -> Verdict:
    """What `synet profile` says of a file, in figures of one image."""
    chip, compiled = profile.chip, profile.compiled
    if chip.compiler:
        asked = f"{chip.compiler.name.capitalize()} {compiled.version}"
        judge = f"{asked}, the compiler of {chip.title}"
    else:
        judge = (
            f"SyNet's own table, chips/{chip.name}.yaml, which marks what of it is assumed; "
            f"the compiler of {chip.title} is not public"
        )
    why = profile.verdict().partition(": ")[2]
    return Verdict(
        chip=chip.title,
        fits=not profile.violations,
        why=why[:1].upper() + why[1:],
        judge=judge,
        frames_per_second=compiled.frames_per_second if compiled else None,
        milliseconds=1e3 * compiled.seconds if compiled else None,
        problems=profile.violations,
    )


def doubt(content: bytes) -> str:
    """What a file tells of itself that makes all its figures doubtful; mostly nothing."""
    told = doubt_of(read_metadata(content))
    return told[:1].upper() + told[1:]


def trades(profile: Profile) -> tuple[Trade, ...]:
    """How little memory a model can do with, the most first; none where there is no choice."""
    found = profile.compiled.trades if profile.compiled else ()
    return tuple(
        Trade(
            kib=each.sram_bytes / 1024,
            milliseconds=1e3 * each.cycles / profile.chip.compiler.clock_hz,
            cycles=each.cycles,
            more=each.cycles / found[0].cycles - 1,
            arena_bytes=each.arena_bytes,
        )
        for each in found
        if len(found) > 1
    )


def layers(profile: Profile) -> tuple[LayerCost, ...]:
    """The layers of a file in the order in which they first run."""
    rows: dict[str, list[Any]] = {}
    for row in profile.rows:
        rows.setdefault(row.layer, []).append(row)
    shorts = short_names(list(rows))
    return tuple(
        LayerCost(
            name=name,
            short=short,
            ops=tuple(dict.fromkeys(row.op for row in own)),
            shape=own[-1].shape,
            alive_bytes=max(row.alive_bytes for row in own),
            macs=sum(row.macs for row in own),
            cycles=sum(row.cycles for row in own) if profile.compiled else None,
        )
        for (name, own), short in zip(rows.items(), shorts, strict=True)
    )


def short_names(names: Sequence[str], longest: int = 16) -> list[str]:
    """Names that fit on an axis, no two the same: without what all paths begin with, and cut.

    >>> short_names(["model.0.conv", "model.1.first.conv", "Add (after model.1)"])
    ['0.conv', '1.first.conv', 'Add']
    """
    paths = [name.partition(" (after ")[0] for name in names]
    common = os.path.commonprefix([path for path in paths if "." in path])
    common = common[: common.rfind(".") + 1]
    shorts: list[str] = []
    for path in paths:
        short = path.removeprefix(common) or path
        if len(short) > longest:
            short = f"{short[: longest - 1]}…"
        unique, number = short, 2
        while unique in shorts:
            unique, number = f"{short} {number}", number + 1
        shorts.append(unique)
    return shorts


def held_at_peak(profile: Profile) -> list[tuple[str, int]]:
    """Which layers' outputs are in memory at the fullest moment, and their bytes, largest first."""
    held: Counter[str] = Counter()
    for each in profile.judged.fullest:
        held["the image" if each.layer == INPUT else each.layer] += each.bytes
    return held.most_common()


def operation_kinds(profile: Profile) -> tuple[OperationKind, ...]:
    """The operations of a file by kind, the costliest first."""
    graph, chip, compiled = profile.judged.graph, profile.chip, profile.compiled
    if compiled:
        left = {id(operator) for operator, _ in compiled.on_cpu}
        runs = [id(operator) not in left for operator in graph.operators]
    else:
        runs = [not any(True for _ in problems_of(graph, op, chip)) for op in graph.operators]
    kinds: dict[str, list[tuple[Any, bool]]] = {}
    for row, there in zip(profile.rows, runs, strict=True):
        kinds.setdefault(row.op, []).append((row, there))
    total = (compiled.cycles if compiled else profile.macs) or 1
    found = []
    for name, rows in kinds.items():
        macs = sum(row.macs for row, _ in rows)
        cycles = sum(row.cycles for row, _ in rows) if compiled else None
        share = (macs if cycles is None else cycles) / total
        found.append(
            OperationKind(name, len(rows), sum(there for _, there in rows), macs, cycles, share)
        )
    return tuple(sorted(found, key=lambda kind: (-kind.share, -kind.count)))


def accuracy(found: Found, dataset: Dataset) -> Accuracy:
    """Average precision and curves of what a model found."""
    per_class = class_precision(found, dataset)
    map50, map50_95 = mean_precision(per_class)
    ids = {unique_name(dataset, int(each)): int(each) for each in found.class_ids if each >= 0}
    matches = matches_of(found.evaluation)
    of_class = {name: matches[ids[name]] for name in per_class}
    lines = {name: class_line(each.curve, each.labels) for name, each in of_class.items()}
    if len(lines) > 1:
        mean = np.mean([line.precision for line in lines.values()], axis=0)
        lines = {MEAN: ClassLine(mean, labels=found.boxes)} | lines
    return Accuracy(map50, map50_95, per_class, lines, len(found.images), found.boxes)


def class_line(curve: Curve, labels: int = 0) -> ClassLine:
    """A curve as average precision reads it: the mean of these precisions is that average."""
    at = np.searchsorted(curve.recall, RECALLS, side="left")
    confidence = np.append(curve.confidence, np.nan)[at]
    return ClassLine(curve.interpolated(), confidence, labels)


def precision_changes(
    reference: Found | None, int8: Found, dataset: Dataset
) -> dict[str, Change] | None:
    """How much better int8 is than float, of the mean of the classes and of each; None alone."""
    if reference is None:
        return None
    mean, of_class = changes(reference.evaluation, int8.evaluation)
    return {MEAN: mean} | {unique_name(dataset, key): each for key, each in of_class.items()}


def made(
    command: str,
    model: Path,
    content: bytes,
    float_model: Path | None,
    profile: Profile,
    data: str,
    split: str,
    images: int,
    kernels: Kernels | None = None,
) -> dict[str, dict[str, str]]:
    """How a report came about: tables of names and values, by their titles."""
    files = {"model": _file(model, content)}
    if float_model:
        files["float model"] = _file(float_model, float_model.read_bytes())
    chip = profile.chip.file
    ours = chip.is_relative_to(PACKAGE)
    shown = chip.relative_to(PACKAGE.parent) if ours else chip
    files["chip"] = _file(shown, chip.read_bytes())
    now = datetime.now(timezone.utc)
    return {
        "This report": {
            "command": command,
            "date": f"{now:%Y-%m-%d %H:%M} UTC",
            "data": f"{data}, {images} images of the {split} split",
            **({"int8 ran on": str(kernels)} if kernels else {}),
        },
        "Files": files,
        "Embedded in the model": embedded(content),
        "Versions": versions() | ({"Vela": profile.compiled.version} if profile.compiled else {}),
    }


def embedded(content: bytes) -> dict[str, str]:
    """The metadata of a file as text; of one without, that it has none."""
    told = {key: _text(value) for key, value in read_metadata(content).items()}
    return told or {"metadata": "none: SyNet did not make this file"}


def versions() -> dict[str, str]:
    """SyNet, Python and the installed packages that figures may depend on."""
    found = {"SyNet": VERSION, "Python": platform.python_version()}
    for title, names in PACKAGES.items():
        for name in names.split():
            try:
                found[title] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def _file(name: Path, content: bytes) -> str:
    return f"{name} ({len(content):,} bytes), sha256 {hashlib.sha256(content).hexdigest()}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value)
    return str(value)
