"""``synet latency``: how long a model takes on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands.kinds import FILE
from synet.commands.options import (
    chip_option,
    device_option,
    figures,
    json_option,
    model_argument,
    repo_option,
    say,
    shape_option,
    show,
)

if TYPE_CHECKING:
    from synet.inspection.latency import Latency, Timing


@click.command()
@model_argument
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True, metavar="N")
@click.option(
    "--warm-up",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Runs before them, which do not count.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Default: up to 4 for .tflite, what torch takes for .pt.",
)
@click.option(
    "--image", type=FILE, metavar="FILE", help="To decode and run on. Default: a drawn one."
)
@chip_option("Show its compiler's estimate, too.", None)
@shape_option
@device_option
@repo_option
@json_option
def latency(model: str, **options: Any) -> None:
    """Time MODEL, .pt or .tflite, on this machine: the network only, and all from an image file to
    boxes.

    \b
    Example:
      synet latency best.tflite
      synet latency best.tflite --runs 500 --threads 1 --image street.jpg --chip sabre
    """
    from synet.inspection.latency import latency as measure
    from synet.system.steps import telling

    with telling("starting"):
        from synet.inspection.latency import latency as measure

        found = measure(model, **options)
    figures(_told(found))
    show(found.table())
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
