"""What several commands share: options that read alike everywhere, and a place to print to.

One word, one thing: the model stands first, ``--data`` is the data yaml, ``--imgsz`` height and
width, ``--out`` what is written, ``--conf`` and ``--iou`` what counts as found. docs/README.md
tells it to users.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from synet.commands.kinds import CHIP, FILE, FOLDER, FRACTION, MODEL, SPLIT
from synet.system.json_text import json_text
from synet.system.streams import user_stream
from synet.system.text import printable

LOGGER = logging.getLogger("synet")
# A command whose arguments belong to the program that it starts.
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}

model_argument = click.argument("model", type=MODEL)
repo_option = click.option("--repo", type=FOLDER, metavar="DIR", help="Folder of the fork to use.")
exact_option = click.option(
    "--exact", is_flag=True, help="Build a model of the zoo rather than to tell what it claims."
)
shape_option = click.option(
    "--image-shape",
    "--imgsz",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="H W",
    help="Height and width in pixels. Default: the model's own.",
)
data_option = click.option("--data", metavar="YAML", type=FILE, help="Data yaml in YOLO format.")
split_option = click.option(
    "--split", type=SPLIT, default="val", show_default=True, help="Of the data."
)
strict_option = click.option(
    "--strict", is_flag=True, help="An image or label that cannot be read is an error."
)
classes_option = click.option(
    "--classes", multiple=True, metavar="NAME...", help="The data's names, in model order."
)
compiler_option = click.option(
    "--compiler",
    metavar="VERSION",
    default="",
    help="Of the chip's compiler: one that its file lists, or a program. Default: the first.",
)
float_option = click.option(
    "--float",
    "float_model",
    type=MODEL,
    metavar="PT",
    help="Default: the .pt beside a .tflite.",
)


def chip_option(help: str, default: str | None = "", **settings: Any) -> Callable:
    """The chip, by name or by the yaml of one's own."""
    return click.option("--chip", type=CHIP, metavar="NAME", default=default, help=help, **settings)


def out_option(kind: click.Path, help: str, *spellings: str, **settings: Any) -> Callable:
    """What is written: `kind` is `FILE` or `FOLDER`; older `spellings` go on to work."""
    metavar = "DIR" if kind is FOLDER else "FILE"
    return click.option(
        "-o",
        "--out",
        *spellings,
        "out",
        type=kind,
        metavar=metavar,
        help=help,
        show_default="default" in settings,
        **settings,
    )


def confidence_option(default: float, help: str) -> Callable:
    """The score that counts."""
    return click.option(
        "--confidence",
        "--conf",
        "confidence",
        type=FRACTION,
        default=default,
        show_default=True,
        help=help,
    )


def iou_option(default: float) -> Callable:
    """The overlap of boxes that are one."""
    return click.option(
        "--iou",
        type=FRACTION,
        default=default,
        show_default=True,
        help="Of non-maximum suppression.",
    )


def kernels_option(default: str) -> Callable:
    """What a .tflite runs on; see `synet.tflite.kernels`."""
    return click.option(
        "--kernels",
        type=click.Choice(["reference", "fast"]),
        default=default,
        show_default=True,
        help="Of a .tflite: those that chips are tested against, or 100 times as fast ones, "
        "checked on the first images.",
    )


device_option = click.option(
    "--device",
    metavar="NAME",
    default="",
    help="Of a .pt: cpu (the default), 0, cuda:1, mps.",
)
batch_option = click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Images that a .pt takes in one run; a .tflite takes one.",
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


# ------------------------------------------------------------------------------- what is printed

JSON, QUIET, LAST = (f"{__name__}.{name}" for name in ("json", "quiet", "last"))


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[JSON] = ctx.meta.get(JSON) or value
    if value:
        ctx.with_resource(_silence())


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print the figures as JSON, and nothing else.",
)


def figures(value: Any) -> None:
    """Print what the tables are made of, where JSON is asked for.

    Parameters
    ----------
    value
        As for `synet.system.json_text.json_text`.
    """
    if _mode(JSON):
        click.echo(json_text(value))


def show(*renderables: Any, width: int = 120) -> None:
    """Print tables as wide as the terminal, or COLUMNS says, or `width` where neither is there."""
    if _mode(JSON) or _mode(QUIET):
        return
    from synet.system.terminal import Terminal

    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS")
    terminal = Terminal(width=None if is_known else width)
    terminal.print(*renderables, crop=False)  # names are whole, whatever becomes of the lines


def say(text: str, err: bool = False) -> None:
    """Print a line: not beside JSON, and where it shall be quiet the last one alone."""
    if err:
        click.echo(printable(text), err=True)
    elif _mode(QUIET):
        click.get_current_context().meta[LAST] = text
    elif not _mode(JSON):
        click.echo(printable(text))


def say_last(ctx: click.Context) -> None:
    """Print the line that `say` has kept."""
    if QUIET in ctx.meta and not ctx.meta.get(JSON) and LAST in ctx.meta:
        click.echo(printable(ctx.meta[LAST]))


def _mode(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(name)


@contextmanager
def _level(level: int) -> Iterator[None]:
    before = LOGGER.level
    LOGGER.setLevel(level)
    try:
        yield
    finally:
        LOGGER.setLevel(before)


def _silence() -> AbstractContextManager[None]:
    from synet.system.terminal import silenced

    return silenced()


def be_quiet(ctx: click.Context) -> None:
    """Say only what is wrong, and the last line of what there is to say."""
    ctx.meta[QUIET] = True
    ctx.with_resource(_level(logging.ERROR))
    ctx.with_resource(_silence())


def be_verbose(ctx: click.Context) -> None:
    """Say what is being done, step by step, with milliseconds since the start."""
    ctx.with_resource(_level(logging.DEBUG))
    handler = logging.StreamHandler(ctx.with_resource(user_stream()))
    handler.setFormatter(logging.Formatter("%(relativeCreated)7d ms  %(message)s"))
    ctx.call_on_close(lambda: LOGGER.removeHandler(handler))
    LOGGER.addHandler(handler)
    ctx.call_on_close(lambda: setattr(LOGGER, "propagate", True))
    LOGGER.propagate = False  # other libraries add handlers to the root, which would say it again
