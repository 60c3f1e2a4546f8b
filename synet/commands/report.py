"""``synet report``: one page about a model, to send to a colleague."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from synet.commands import options
from synet.commands.kinds import FILE
from synet.commands.printing import figures, say
from synet.system.errors import SynetError


@click.command(cls=options.Gathering)
@options.model
@options.data
@options.out(FILE, "The page.", default="report.html")
@options.split
@options.chip("Default: the model's, or its camera's.")
@options.compiler
@options.float_model
@options.classes
@options.count("--images", "To measure the errors of layers on.", 8)
@options.on_data
def report(model: str, data: str | None, out: str, classes: tuple[str, ...], **given: Any) -> None:
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

        told = write_report(model, data, out, classes=classes or None, command=typed, **given)
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
