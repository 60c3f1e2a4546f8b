"""``synet profile``: what a model costs on a chip."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synet.commands.options import repo_option, say, shape_option, show
from synet.errors import SynetError


@click.command()
@click.argument("model")
@click.option("--chip", metavar="NAME", default="", help="Default: the model's, or its camera's.")
@shape_option
@repo_option
def profile(model: str, chip: str, image_shape: tuple[int, int] | None, repo: str | None) -> None:
    """Costs of each layer, and whether the chip runs MODEL (a yaml, zoo name, .pt or .tflite).

    \b
    Example:
      synet profile katana-kvga.yaml
      synet profile yolov8n.yaml --chip sabre --image-shape 256 320
      synet profile runs/train/exp/weights/best.tflite
    """
    from synet.profile import profile as measure

    found = measure(model, chip, image_shape, repo)
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
