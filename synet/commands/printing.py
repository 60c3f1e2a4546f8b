"""Where commands print to: tables and lines, JSON in place of both, or the last line alone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from synet.system.json_text import json_text
from synet.system.streams import user_stream
from synet.system.text import printable

LOGGER = logging.getLogger("synet")
JSON, QUIET, LAST = (f"{__name__}.{name}" for name in ("json", "quiet", "last"))


def be_json(ctx: click.Context) -> None:
    """Print the figures alone, as JSON."""
    ctx.meta[JSON] = True
    ctx.with_resource(_silence())


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
