"""How long a model takes on this machine, and by its compiler's word on its chip."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Any

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from synet.chips import Chip, get_chip
from synet.data.images import read_image, write_image
from synet.detections.detections import NMS_IOU, SHOWN_CONFIDENCE
from synet.models.decode import decode
from synet.models.detect import fit
from synet.models.predictor import Predictor, load_predictor, require_torch
from synet.system.errors import SynetError
from synet.system.steps import giving_way
from synet.system.terminal import Terminal
from synet.tflite.kernels import FAST, Kernels

PERCENTILES = (50, 90, 95, 99)
REFRESH_SECONDS = 0.2  # between two looks of the progress bar
NETWORK = 3  # of all steps the network alone: behind decoding, fitting, and placing its input
DRAWN_PX = (480, 640)  # height and width of the picture that is drawn where none is given


@dataclass(frozen=True, eq=False)
class Timing:
    """How long something took, again and again.

    Attributes
    ----------
    milliseconds
        float64 ``(runs,)``, in the order of the runs.
    """

    milliseconds: np.ndarray

    @property
    def mean(self) -> float:
        """In milliseconds, as all that follows."""
        return float(self.milliseconds.mean())

    @property
    def median(self) -> float:
        """Half of the runs took no longer; a busy moment of the machine hardly moves it."""
        return float(np.median(self.milliseconds))

    @property
    def std(self) -> float:
        """Standard deviation of the runs."""
        return float(self.milliseconds.std())

    @property
    def min(self) -> float:
        """The fastest run."""
        return float(self.milliseconds.min())

    @property
    def max(self) -> float:
        """The slowest run."""
        return float(self.milliseconds.max())

    @property
    def percentiles(self) -> dict[int, float]:
        """So many percent of the runs took no longer: 50 is the median."""
        values = np.percentile(self.milliseconds, PERCENTILES)
        return dict(zip(PERCENTILES, values.tolist(), strict=True))

    @property
    def frames_per_second(self) -> float:
        """One after another, at the median."""
        return 1000 / self.median


@dataclass(frozen=True)
class Estimate:
    """What a chip's compiler says a file takes there: no measurement.

    Attributes
    ----------
    chip
        Its name.
    cycles, milliseconds, frames_per_second
        Of the network alone.
    on_npu
        The part of all operations that the NPU runs, 0 to 1.
    """

    chip: str
    cycles: int
    milliseconds: float
    frames_per_second: float
    on_npu: float


@dataclass(frozen=True)
class Latency:
    """How long a model takes on this machine, and on its chip.

    Attributes
    ----------
    model
        What was timed.
    image_shape
        Height and width of its input.
    threads
        Of the processor, that it ran on.
    warm_up
        Runs before those that count.
    network
        The network alone, its input in place: a part of `parts`' network in the same run.
    overall
        From an image file to boxes in that image: the sum of `parts`, run by run.
    parts
        Decoding the file, fitting the image into the input, the network with its input and output
        converted, and what becomes of that (boxes with their keypoints and masks, or a class).
    estimate
        Of the chip that was asked for, where its compiler is public.
    note
        Why there is no estimate of that chip.
    kernels
        What a TFLite file ran on: the fast ones, always.
    device
        What a checkpoint ran on, where that is not the processor.
    """

    model: str
    image_shape: tuple[int, int]
    threads: int
    warm_up: int
    network: Timing
    overall: Timing
    parts: dict[str, Timing]
    estimate: Estimate | None = None
    note: str = ""
    kernels: Kernels | None = None
    device: str = ""

    def verdict(self) -> str:
        """One line: the two medians, and the chip's."""
        network, overall, chip = self.network, self.overall, self.estimate
        where = f"this machine, {self.device}" if self.device else "this machine"
        told = (
            f"{where}: network {network.median:.2f} ms ({network.frames_per_second:.1f} "
            f"frames a second), overall {overall.median:.2f} ms ({overall.frames_per_second:.1f})"
        )
        if chip is not None:
            told += (
                f"; {chip.chip}, by its compiler's estimate: network {chip.milliseconds:.2f} ms "
                f"({chip.frames_per_second:.1f}), {chip.cycles / 1e6:.2f} M cycles, "
                f"{chip.on_npu:.0%} of operations on the NPU"
            )
        return told


def latency(
    model: str | Path,
    runs: int = 100,
    image: str | Path | None = None,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    threads: int | None = None,
    warm_up: int = 10,
    chip: str | None = None,
    progress: bool = True,
    device: str = "",
    cfg: str | Path | None = None,
) -> Latency:
    """Time a ``.pt`` checkpoint or a ``.tflite`` file on this machine.

    Parameters
    ----------
    model, image_shape, repo, device, cfg
        As for `synet.models.predictor.load_predictor`.
    runs, warm_up
        How many count, each of all steps from an image file to boxes; and how many run before
        them, which do not count.
    image
        The image file; a picture is drawn where none is given.
    threads
        To run on. Default: for TFLite four, or as many as there are processors; for a checkpoint,
        what torch takes.
    chip
        Tells what this chip's compiler estimates; a checkpoint is exported for that.
    progress
        Whether to show a progress bar on stderr; it is drawn between runs.

    Raises
    ------
    SynetError
        The model cannot be run, `runs` is not at least 1, or `warm_up` negative; a `DataError` of
        the image, or a `ChipError` where there is no such chip, or it cannot be compiled for.
    """
    if runs < 1 or warm_up < 0:
        raise SynetError(f"runs: {runs}, warm-up: {warm_up}; give at least 1 and 0")
    require_torch([model], device)
    asked = None if chip is None else get_chip(chip)
    is_torch = Path(model).suffix == ".pt"
    with _torch_threads(threads if is_torch else None), _image_file(image) as file:
        how = (True, threads, FAST, 0, device)
        predictor = load_predictor(model, image_shape, repo, *how, cfg=cfg)
        estimate, note = _estimate(model, asked, image_shape, repo, cfg)
        timings = _timed(_steps(predictor, file), runs, warm_up, Path(model).name, progress)
        return Latency(
            model=str(model),
            image_shape=tuple(predictor.image_shape),
            threads=predictor.threads,
            warm_up=warm_up,
            estimate=estimate,
            note=note,
            kernels=predictor.kernels,
            device="" if device == "cpu" else device,
            **timings,
        )


def _steps(predictor: Predictor, file: Path) -> dict[str, Sequence[Callable[[Any], Any]]]:
    """From an image file to what is in it, by parts; each step takes what the one before gave."""
    placement = None

    def fitted(image: np.ndarray) -> np.ndarray:
        nonlocal placement
        pixels, placement = fit(predictor, image)
        return pixels

    def boxes(outputs: dict[str, np.ndarray]) -> Any:
        return decode(outputs, placement, SHOWN_CONFIDENCE, NMS_IOU, masks=True)

    def likeliest(outputs: dict[str, np.ndarray]) -> Any:
        return outputs["probabilities"].argmax()

    last = {"class": [likeliest]} if predictor.task == "classify" else {"boxes": [boxes]}
    first = {"decoding": [lambda _: read_image(file)], "fitting": [fitted]}
    return first | {"network": predictor.stages} | last


def _timed(
    steps: dict[str, Sequence[Callable[[Any], Any]]],
    runs: int,
    warm_up: int,
    title: str,
    progress: bool,
) -> dict[str, Any]:
    """What `Latency` tells of time: of the network alone, of all steps, and of each part."""
    with _ticking(title, runs + warm_up, progress) as tick:
        times = _measure(list(chain(*steps.values())), runs, warm_up, tick)
    ends = list(accumulate(map(len, steps.values()), initial=0))
    parts = {
        name: Timing(times[:, start:end].sum(axis=1))
        for name, (start, end) in zip(steps, pairwise(ends), strict=True)
    }
    network, overall = Timing(times[:, NETWORK]), Timing(times.sum(axis=1))
    return {"network": network, "overall": overall, "parts": parts}


def _measure(
    steps: Sequence[Callable[[Any], Any]], runs: int, warm_up: int, tick: Callable[[], None]
) -> np.ndarray:
    """Milliseconds of each step, of each run that counts: ``(runs, steps)``.

    Each step is given what the one before it returned, the first None; `tick` is called between
    runs, and no garbage is collected meanwhile.
    """
    marks = np.zeros((runs, len(steps) + 1), np.int64)
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for run in range(-warm_up, runs):
            value, times = None, [perf_counter_ns()]
            for step in steps:
                value = step(value)
                times.append(perf_counter_ns())
            if run >= 0:
                marks[run] = times
            tick()
    finally:
        if collects:
            gc.enable()
    return np.diff(marks, axis=1) / 1e6


def _estimate(
    model: str | Path,
    chip: Chip | None,
    image_shape: tuple[int, int] | None,
    repo: str | Path | None,
    cfg: str | Path | None,
) -> tuple[Estimate | None, str]:
    """What the compiler of a chip says, if one is asked for; or None, and why."""
    if chip is None:
        return None, ""
    if chip.compiler is None:
        return None, f"no estimate for {chip.name}: its compiler is not public"
    from synet.inspection.profile import profile

    found = profile(model, chip, image_shape, repo, cfg=cfg)
    compiled = found.compiled
    estimate = Estimate(
        chip=chip.name,
        cycles=compiled.cycles,
        milliseconds=compiled.seconds * 1e3,
        frames_per_second=compiled.frames_per_second,
        on_npu=1 - len(compiled.on_cpu) / len(found.rows),
    )
    return estimate, ""


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    """Have torch run on so many threads, and afterwards on as many as before."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _image_file(image: str | Path | None) -> Iterator[Path]:
    """The image file, or one that is drawn for now."""
    if image is not None:
        yield Path(image)
        return
    from synet.data.drawn_shapes import draw_image

    with tempfile.TemporaryDirectory(prefix="synet-") as folder:
        picture, _ = draw_image(np.random.default_rng(0), DRAWN_PX)
        yield write_image(Path(folder, "drawn.jpg"), picture)


@contextmanager
def _ticking(title: str, total: int, progress: bool) -> Iterator[Callable[[], None]]:
    """A progress bar that is drawn when it ticks, a few times a second, and at no other time."""
    drawn_at = monotonic()
    console = Terminal(stderr=True)
    bar = Progress(console=console, disable=not progress, auto_refresh=False)
    with giving_way(), bar:
        task = bar.add_task(escape(title), total=total)

        def tick() -> None:
            nonlocal drawn_at
            is_due = monotonic() - drawn_at > REFRESH_SECONDS
            if is_due:
                drawn_at = monotonic()
            bar.update(task, advance=1, refresh=is_due)

        yield tick
