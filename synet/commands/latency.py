"""``synet latency``: how long a model takes on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from synet.inspection.latency import Latency, Timing


@click.command()
@options.model
@options.count("--runs", default=100, metavar="N")
@options.count("--warm-up", "Runs before them, which do not count.", 10, 0, metavar="N")
@options.count("--threads", "Default: up to 4 for .tflite, what torch takes for .pt.", metavar="N")
@click.option(
    "--image", type=FILE, metavar="FILE", help="To decode and run on. Default: a drawn one."
)
@options.chip("Show its compiler's estimate, too.")
@options.shape
@options.device
@options.maker
@options.json
def latency(model: str, **given: Any) -> None:
    """Time MODEL, .pt or .tflite, on this machine: the network only, and all from an image file to
    boxes.

    \b
    Example:
      synet latency best.tflite
      synet latency best.tflite --runs 500 --threads 1 --image street.jpg --chip sabre
    """
    from synet.system.steps import telling

    with telling("starting"):
        from synet.inspection.latency import latency as measure

        found = measure(model, **given)
    figures(_told(found))
    show(table(found))
    if found.note:
        say(found.note)
    say(found.verdict())


def _told(found: Latency) -> dict[str, Any]:
    """The figures of the table: of the runs not each, but what is made of them."""

    def told(timing: Timing) -> dict[str, Any]:
        words = ("median", "mean", "std", "min", "max", "percentiles", "frames_per_second")
        return {word: getattr(timing, word) for word in words}

    parts = {name: told(timing) for name, timing in found.parts.items()}
    timings = {"network": told(found.network), "overall": told(found.overall), "parts": parts}
    return {**vars(found), "runs": len(found.network.milliseconds), **timings}


def table(latency: Latency) -> Table:
    """A row for each timing, in milliseconds."""
    from synet.inspection.latency import PERCENTILES
    from synet.system.terminal import NameTable

    (height, width), threads = latency.image_shape, latency.threads
    device = latency.device
    table = NameTable(
        spare=("std", "p90", "p99", "min", "p95", "max"),
        wrapped=("frames a second",),
        title=f"{latency.model} at {height}x{width}, ms",
        caption=f"{len(latency.network.milliseconds)} runs after {latency.warm_up} to warm up, "
        + (f"on {device}" if device else f"{threads} thread{'s' * (threads != 1)}")
        + (f", {latency.kernels}" if latency.kernels else ""),
    )
    table.add_column("")
    later = [f"p{q}" for q in PERCENTILES[1:]]
    headings = ("median", "mean", "std", "min", *later, "max", "frames a second")
    for heading in headings:
        table.add_column(heading, justify="right")
    rows = {"network only": latency.network, "overall": latency.overall}
    for name, timing in (rows | {f"  {k}": v for k, v in latency.parts.items()}).items():
        median, *rest = timing.percentiles.values()
        milliseconds = (median, timing.mean, timing.std, timing.min, *rest, timing.max)
        style = "bold" if timing is latency.overall else None
        speed = f"{timing.frames_per_second:.1f}" if name in rows else ""
        table.add_row(name, *(f"{each:.2f}" for each in milliseconds), speed, style=style)
    if latency.estimate is not None:
        blanks = [""] * (len(headings) - 2)
        chip, speed = latency.estimate.chip, latency.estimate.frames_per_second
        milliseconds = f"{latency.estimate.milliseconds:.2f}"
        table.add_row(f"{chip}, estimate", milliseconds, *blanks, f"{speed:.1f}")
    return table
