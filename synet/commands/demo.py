"""``synet demo``: the whole way on drawn images."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out", default="runs/demo", show_default=True, metavar="DIR", help="Folder for all of it."
)
def demo(out: str) -> None:
    """The whole way on drawn images: train, quantize, evaluate, check, look. About 4 minutes.

    \b
    Example:
      synet demo
    """
    from synet.demo import run_demo

    run_demo(Path(out))
