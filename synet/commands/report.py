"""``synet report``: one page about a model, to send to a colleague."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from synet.commands.kinds import FILE
from synet.commands.options import (
    Gathering,
    batch_option,
    chip_option,
    classes_option,
    compiler_option,
    data_option,
    device_option,
    figures,
    float_option,
    json_option,
    kernels_option,
    model_argument,
    out_option,
    repo_option,
    say,
    split_option,
    strict_option,
)
from synet.system.errors import SynetError


@click.command(cls=Gathering)
@model_argument
@data_option
@out_option(FILE, "The page.", default="report.html")
@split_option
@chip_option("Default: the model's, or its camera's.")
@compiler_option
@float_option
@classes_option
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="To measure the errors of layers on.",
)
@device_option
@batch_option
@kernels_option("fast")
@strict_option
@repo_option
@json_option
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
    from synet.system.steps import telling

    typed = shlex.join(["synet", *sys.argv[1:]])
    with telling("starting"):
        from synet.report import write_report

        told = write_report(model, data, out, classes=classes or None, command=typed, **options)
    verdict = "fits" if told.verdict.fits else "does not fit"
    precision = ", ".join(
        f"{kind} mAP50-95 {each.map50_95:.4f}" for kind, each in told.models.items()
    )
    models = {
        kind: {"map50": each.map50, "map50_95": each.map50_95} for kind, each in told.models.items()
    }
    figures(
        {
            "path": out,
            "chip": told.chip.name,
            "judge": told.verdict.judge,
            "fits": told.verdict.fits,
            "models": models,
            "shift": told.shift,
        }
    )
    shift = f", {told.shift}" if told.shift else ""
    say(f"wrote {out}: {told.title} {verdict} {told.chip.name}, {precision}{shift}")
