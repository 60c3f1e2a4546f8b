"""What several commands share: options that read alike everywhere, and a place to print tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from synet.system.text import printable

# A command whose arguments belong to the program that it starts.
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class Fraction(click.FloatRange):
    """A number from 0 to 1: a confidence, an overlap, a precision."""

    name = "fraction"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        number = click.FLOAT.convert(value, param, ctx)
        if not 0 <= number <= 1:
            percent = f"; {number:g} % is {number / 100:g}" if 1 < number <= 100 else ""
            self.fail(f"{number:g} is not a fraction, 0 to 1{percent}", param, ctx)
        return number


FRACTION = Fraction()

repo_option = click.option("--repo", metavar="DIR", help="Folder of the fork to use.")
exact_option = click.option(
    "--exact", is_flag=True, help="Build a model of the zoo rather than to tell what it claims."
)
shape_option = click.option(
    "--image-shape",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="H W",
    help="Height and width in pixels. Default: the model's own.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="An image or label that cannot be read is an error."
)
data_option = click.option(
    "--data", metavar="YAML", type=click.Path(), help="Data yaml in YOLO format."
)


def kernels_option(default: str) -> Callable:
    """What a .tflite runs on; see `synet.kernels`."""
    return click.option(
        "--kernels",
        type=click.Choice(["reference", "fast"]),
        default=default,
        show_default=True,
        help="Of a .tflite: those that chips are tested against, or 100 times as fast ones, "
        "checked on the first images.",
    )


class Gathering(click.Command):
    """A command whose options of several values take them one after another.

    ``--models a.pt b.pt --split val`` means ``--models a.pt --models b.pt --split val``, which
    click understands. ``--`` ends the values, too.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        names = {name for each in self.params if getattr(each, "multiple", 0) for name in each.opts}
        return super().parse_args(ctx, list(_repeated(args, names)))


def _repeated(arguments: Sequence[str], names: set[str]) -> Iterator[str]:
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            if option in names and not values:  # click would take the next option for a value
                raise click.BadOptionUsage(option, f"Option '{option}' requires an argument.")
            option, equals, _ = argument.partition("=")
            values = len(equals)
        elif option in names:
            if values:
                yield option
            values += 1
        yield argument


def show(*renderables: Any, width: int = 120) -> None:
    """Print tables as wide as the terminal, or `width` columns where there is none."""
    from synet.system.terminal import Terminal

    Terminal(width=None if sys.stdout.isatty() else width).print(*renderables)


def say(text: str, err: bool = False) -> None:
    """Print a line."""
    click.echo(printable(text), err=err)
