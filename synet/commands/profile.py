"""``synet profile``: what a model costs on a chip."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synet.commands.options import exact_option, repo_option, say, shape_option, show
from synet.errors import SynetError


@click.command()
@click.argument("model")
@click.option("--chip", metavar="NAME", default="", help="Default: the model's, or its camera's.")
@shape_option
@click.option(
    "--compiler",
    metavar="VERSION",
    default="",
    help="Of the chip's compiler: one that its file lists, or a program. Default: the first.",
)
@repo_option
@exact_option
def profile(
    model: str,
    chip: str,
    image_shape: tuple[int, int] | None,
    compiler: str,
    repo: str | None,
    exact: bool,
) -> None:
    """Costs of each layer, and whether the chip runs MODEL (a yaml, zoo name, .pt or .tflite).

    Of a model of the zoo that has not been built yet, what its yaml claims, at once.

    \b
    Example:
      synet profile katana-kvga.yaml
      synet profile yolov8n.yaml --chip sabre --image-shape 256 320
      synet profile sabre-detect-qvga --compiler 4.3
      synet profile runs/train/exp/weights/best.tflite
    """
    from synet.inspection.claimed import claimed, kept

    told = None if exact or chip or compiler else claimed(model, image_shape, repo)
    if told and not kept("inspection", model):
        show(told.costs())
        say(told.verdict())
        return
    from synet.profile import profile as measure
    from synet.streams import user_stream
    from synet.system.terminal import Terminal

    with (
        user_stream() as stream,
        Terminal(file=stream).status("counting what it costs, and how little memory does"),
    ):
        found = measure(model, chip, image_shape, repo, compiler)
    show(*found.tables())
    for violation in found.violations:
        say(f"problem: {violation}")
    _tell_arena(model)
    say(found.verdict())
    if found.violations:
        sys.exit(1)


def _tell_arena(model: str) -> None:
    """What a file takes in TFLite Micro, where that is installed."""
    from synet.micro import is_installed, run_micro

    if Path(model).suffix == ".tflite" and is_installed():
        try:
            say(str(run_micro(model)))
        except SynetError as error:  # the chip's own verdict stands
            say(str(error))
