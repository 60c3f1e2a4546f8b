"""``synet latency``: how long a model takes on this machine."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.options import repo_option, say, shape_option, show


@click.command()
@click.argument("model")
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
@click.option("--image", metavar="FILE", help="To decode and run on. Default: a drawn one.")
@click.option("--chip", metavar="NAME", help="Show its compiler's estimate, too.")
@shape_option
@repo_option
def latency(model: str, **options: Any) -> None:
    """Time MODEL, .pt or .tflite, on this machine's CPU: the network only, and all from an image
    file to boxes.

    \b
    Example:
      synet latency best.tflite
      synet latency best.tflite --runs 500 --threads 1 --image street.jpg --chip sabre
    """
    from synet.latency import latency as measure

    found = measure(model, **options)
    show(found.table())
    if found.note:
        say(found.note)
    say(found.verdict())
