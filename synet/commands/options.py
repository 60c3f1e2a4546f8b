"""Arguments and options that several commands share, which read alike everywhere.

One word, one thing: the model stands first, ``--data`` is the data yaml, ``--imgsz`` height and
width, ``--out`` what is written, ``--conf`` and ``--iou`` what counts as found. docs/README.md
tells it to users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import click

from synet.commands.kinds import ACTIVATION, CHIP, FILE, FOLDER, FRACTION, MODEL, SPLIT
from synet.commands.printing import be_json

# A command whose arguments belong to the program that it starts.
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def together(*options: Callable) -> Callable:
    """Several options as one, in the order of the help."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        be_json(ctx)


model = click.argument("model", type=MODEL)
repo = click.option("--repo", type=FOLDER, metavar="DIR", help="Folder of the fork to use.")
cfg = click.option(
    "--cfg", type=MODEL, metavar="YAML", help="What a .pt was built from that is a state dict."
)
maker = together(repo, cfg)  # of a checkpoint
exact = click.option(
    "--exact", is_flag=True, help="Build a model of the zoo rather than to tell what it claims."
)
shape = click.option(
    "--image-shape",
    "--imgsz",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="H W",
    help="Height and width in pixels. Default: the model's own.",
)
data = click.option("--data", metavar="YAML", type=FILE, help="Data yaml in YOLO format.")
split = click.option("--split", type=SPLIT, default="val", show_default=True, help="Of the data.")
strict = click.option(
    "--strict", is_flag=True, help="An image or label that cannot be read is an error."
)
classes = click.option(
    "--classes", multiple=True, metavar="NAME...", help="The data's names, in model order."
)
_text = partial(click.option, default="")
compiler = _text(
    "--compiler",
    metavar="VERSION",
    help="Of the chip's compiler: one that its file lists, or a program. Default: the first.",
)
float_model = click.option(
    "--float",
    "float_model",
    type=MODEL,
    metavar="PT",
    help="Default: the .pt beside a .tflite.",
)
device = _text("--device", metavar="NAME", help="Of a .pt: cpu (the default), 0, cuda:1, mps.")
json = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print the figures as JSON, and nothing else.",
)


def count(
    name: str, help: str | None = None, default: int | None = None, least: int = 1, **settings: Any
) -> Callable:
    """How many; the default is shown, where there is one."""
    return click.option(
        name,
        type=click.IntRange(min=least),
        default=default,
        show_default=default is not None,
        help=help,
        **settings,
    )


def chip(help: str, default: str | None = None, **settings: Any) -> Callable:
    """The chip, by name or by the yaml of one's own."""
    return click.option("--chip", type=CHIP, metavar="NAME", default=default, help=help, **settings)


activation = click.option(
    "--activation",
    type=ACTIVATION,
    metavar="NAME",
    help="That networks are built with, such as silu. Default: the model's, else the chip's own.",
)


def out(kind: click.Path, help: str, *spellings: str, **settings: Any) -> Callable:
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


_fraction = partial(click.option, type=FRACTION, show_default=True)


def confidence(default: float, help: str) -> Callable:
    """The score that counts."""
    return _fraction("--confidence", "--conf", "confidence", default=default, help=help)


def iou(default: float) -> Callable:
    """The overlap of boxes that are one."""
    return _fraction("--iou", default=default, help="Of non-maximum suppression.")


batch = count("--batch", "Images that a .pt takes in one run; a .tflite takes one.", 1, metavar="N")

teacher = click.option(
    "--teacher",
    type=FILE,
    metavar="PT",
    help="Checkpoint of a trained network of the same classes, which teaches the one in training.",
)


def kernels(default: str) -> Callable:
    """What a .tflite runs on; see `synet.tflite.kernels`."""
    return click.option(
        "--kernels",
        type=click.Choice(["reference", "fast"]),
        default=default,
        show_default=True,
        help="Of a .tflite: those that chips are tested against, or 100 times as fast ones, "
        "checked on the first images.",
    )


# How a model is run on labelled data.
on_data = together(device, batch, kernels("fast"), strict, maker, json)


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
