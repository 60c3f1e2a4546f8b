"""``synet report``: one page about a model, to send to a colleague."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from synet.commands.options import data_option, kernels_option, repo_option, say, strict_option
from synet.errors import SynetError


@click.command()
@click.argument("model")
@data_option
@click.option("--out", default="report.html", show_default=True, metavar="FILE")
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@click.option("--chip", metavar="NAME", default="", help="Default: the model's, or its camera's.")
@click.option("--float", "float_model", metavar="PT", help="Default: the .pt beside a .tflite.")
@click.option("--classes", multiple=True, metavar="NAME", help="The data's names, in model order.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="To measure the errors of layers on.",
)
@kernels_option("fast")
@strict_option
@repo_option
def report(
    model: str, data: str | None, out: str, classes: tuple[str, ...], **options: Any
) -> None:
    """Write one page, a file of html, about MODEL: a .tflite, or the .pt beside it.

    Whether the chip runs it, how fast, and what quantizing lost, or whether that is chance; memory,
    cycles and errors of each layer; precision and recall, and an operating point; the images on
    which float, int8 and the labels disagree most; the file's inputs and outputs. It needs no other
    file and no network.

    \b
    Example:
      synet report best.tflite --data my.yaml --out report.html
    """
    if data is None:
        raise SynetError("give the data set: --data YAML")
    from synet.report import report as write

    typed = shlex.join(["synet", *sys.argv[1:]])
    told = write(model, data, out, classes=classes or None, command=typed, **options)
    verdict = "fits" if told.verdict.fits else "does not fit"
    precision = ", ".join(
        f"{kind} mAP50-95 {each.map50_95:.4f}" for kind, each in told.models.items()
    )
    shift = f", {told.shift}" if told.shift else ""
    say(f"wrote {out}: {told.title} {verdict} {told.chip.name}, {precision}{shift}")
