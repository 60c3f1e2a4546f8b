"""What several commands share: options that read alike everywhere, and a place to print tables."""

from __future__ import annotations

import sys
from typing import Any

import click

# A command whose arguments belong to the program that it starts.
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}

repo_option = click.option("--repo", metavar="DIR", help="Folder of the fork to use.")
shape_option = click.option(
    "--image-shape",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="H W",
    help="Height and width in pixels. Default: the model's own.",
)
data_option = click.option(
    "--data", metavar="YAML", type=click.Path(), help="Data yaml in YOLO format."
)


def show(*renderables: Any, width: int = 120) -> None:
    """Print tables as wide as the terminal, or `width` columns where there is none."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else width).print(*renderables)
