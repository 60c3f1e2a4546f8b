"""The command line.

Exit status: 2 for the user's mistake, told in one line; 3 where the chip says no; 1 for what is
ours; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from synet.commands.printing import be_quiet, be_verbose, say_last
from synet.system.environment import SETTINGS
from synet.system.errors import OF_THE_SYSTEM, SynetError
from synet.system.text import printable
from synet.system.version import VERSION

# Each is a module of `synet.commands` with a function of its name, in the order of the help.
COMMANDS = (
    "yolov5",
    "ultralytics",
    "run",
    "data_subset",
    "quantize",
    "profile",
    "summary",
    "sparsity",
    "evaluate",
    "metrics",
    "compare",
    "predict",
    "latency",
    "report",
    "visualize",
    "zoo",
    "patches",
    "demo",
)


LONGEST = 4000  # letters of a line


# What a group says that was given no command: all of its help. Click has it since 8.2.
HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())


def _tell(text: str) -> None:
    """What is wrong, on stderr; of a text without end, its beginning and end."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
    click.echo(f"synet: {text}", err=True)


@contextmanager
def _telling(ctx: click.Context) -> Iterator[None]:
    """Tell in a line what the user can mend, and leave with the status that says whose it is."""
    try:
        yield
    except SynetError as error:
        _tell(error.told)
        ctx.exit(error.exit_status)
    except OSError as error:
        if error.errno not in OF_THE_SYSTEM:
            raise
        place = error.filename or "a temporary file, or standard output"
        _tell(printable(f"{place}: {error.strerror}"))
        ctx.exit(SynetError.exit_status)
    except click.UsageError as error:
        if isinstance(error, HELP):
            raise
        _tell(_line(error, ctx))
        ctx.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _tell("interrupted")
        ctx.exit(130)


def _line(error: click.UsageError, ctx: click.Context) -> str:
    """What cannot be parsed, and where it says what can, unless click says what was meant."""
    text = printable(" ".join(error.format_message().split()))
    text = f"{text[:1].lower()}{text[1:]}".removesuffix(".")
    if text.endswith(("?", "?)")):
        return text
    command = error.ctx.command_path if error.ctx else _path(ctx)
    return f"{text}; see {command} --help"


def _path(ctx: click.Context) -> str:
    """The command that was being parsed: click's parser keeps it to itself."""
    return " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand)))


class Commands(click.Group):
    """A group in the order of its commands, which tells a mistake or a full disk in a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        with _telling(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102
        with _telling(ctx):
            try:
                value = super().invoke(ctx)
            except SystemExit:
                say_last(ctx)
                raise
            say_last(ctx)
            return value


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="synet")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and the last line only.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step that is done, too.")
@click.pass_context
def main(ctx: click.Context, quiet: bool, verbose: bool) -> None:
    """Train the YOLO you have, forked or not, for a chip: patched, quantized to int8, proven.

    \b
    Example, from a data set to a checked int8 file:
      synet yolov5 train --cfg katana-kqvga.yaml --data my.yaml --epochs 100
      synet quantize --backend yolov5 --weights runs/train/exp/weights/best.pt --data my.yaml
      synet evaluate runs/train/exp/weights/best.tflite --data my.yaml

    \b
    Completion in bash, of files, models of the zoo and chips, too (zsh and fish alike):
      eval "$(_SYNET_COMPLETE=bash_source synet)"
    """
    os.environ.pop(SETTINGS, None)  # a command chooses its chip itself, whatever started it
    if quiet:
        be_quiet(ctx)
    if verbose:
        be_verbose(ctx)


for _name in COMMANDS:
    main.add_command(getattr(import_module(f"synet.commands.{_name}"), _name))
