"""``synet demo``: the whole way on drawn images."""

from __future__ import annotations

from pathlib import Path

import click

from synet.commands import options
from synet.commands.kinds import FOLDER


@click.command()
@options.out(FOLDER, "Folder for all of it.", default="runs/demo")
def demo(out: str) -> None:
    """The whole way on drawn images: train, quantize, evaluate, check, look. About 2 minutes.

    \b
    Example:
      synet demo
    """
    from synet.commands.demo_run import run_demo

    run_demo(Path(out))
