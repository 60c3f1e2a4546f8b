"""Reading a yaml file that may be anybody's: plain data of bounded size, or one line of why not.

A yaml of a few lines can stand for more than a machine holds, as an alias (``*a``) repeats what
its anchor (``&a``) holds, and aliases hold aliases. So the events of a text are counted, aliases
as what they stand for, before anything is built from them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from synet.system.errors import SynetError
from synet.system.files import regular_bytes

LARGEST_BYTES = 16 * 2**20
MOST_VALUES = (
    500_000  # a list of a hundred thousand images, or class names by number, is well below
)
DEEPEST = 64
LONGEST_NUMBER = 300  # characters
PREFIX = "tag:yaml.org,2002:"

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(
    path: str | Path,
    error: type[SynetError] = SynetError,
    errors: str = "replace",
    unreadable: str = "cannot be read",
) -> Any:
    """The content of a yaml file: plain data.

    Parameters
    ----------
    path
        A regular file.
    error
        What is raised.
    errors
        As ``open`` takes it: what becomes of bytes that are no UTF-8.
    unreadable
        What is said of a file that cannot be read.

    Raises
    ------
    SynetError
        It is no file, or no yaml; it is larger, deeper or, its aliases written out, longer than
        such files are; it has a tag that asks for more than data. Of the class `error`.
    """
    text = read_text(path, error, errors, unreadable)
    return _understood(yaml.load, text, path, error)  # its safe loader


def compose_yaml(path: str | Path, error: type[SynetError] = SynetError) -> yaml.Node:
    """The content of a yaml file that `read_yaml` has read, with the places where things stand.

    Raises
    ------
    SynetError
        As `read_yaml`.
    """
    return _understood(yaml.compose, read_text(path, error), path, error)


def _understood(
    how: Callable[[str, type], Any], text: str, path: str | Path, error: type[SynetError]
) -> Any:
    try:
        _count(text)
        return how(text, _Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        raise error(f"{place}: not a yaml file: {_reason(problem)}") from None
    except (ValueError, OverflowError) as problem:  # a date, or a number, that there cannot be
        raise error(f"{path}: not a yaml file: {_reason(problem)}") from None


def read_text(
    path: str | Path,
    error: type[SynetError] = SynetError,
    errors: str = "replace",
    unreadable: str = "cannot be read",
) -> str:
    """The text of a regular file, with or without a byte order mark.

    Raises
    ------
    SynetError
        It cannot be read, or is too large for a text that people write. Of the class `error`.
    """
    try:
        return regular_bytes(path, LARGEST_BYTES).decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise error(f"{path}: {unreadable}: not UTF-8 text") from None
    except OSError as problem:
        raise error(f"{path}: {unreadable}: {problem.strerror or problem}") from None


def _count(text: str) -> None:
    """Refuse a text that stands for too much, telling where it becomes so."""
    held = [0]  # values in each of the collections that are open, itself included
    names: list[str | None] = [None]
    anchored: dict[str, int] = {}
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            held.append(1)
            names.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = held.pop(), names.pop()
            held[-1] += size
            anchored |= {name: size} if name else {}
        elif isinstance(event, yaml.ScalarEvent):
            held[-1] += 1
            anchored |= {event.anchor: 1} if event.anchor else {}
            if len(event.value) > LONGEST_NUMBER and not event.style and _like_number(event.value):
                raise _refused(event, f"a number of {len(event.value)} characters")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in names:
                raise _refused(event, f"*{event.anchor} holds itself")
            held[-1] += anchored.get(event.anchor, 0)
        if (tag := getattr(event, "tag", None)) is not None:
            raise _refused(event, f"{tag.removeprefix(PREFIX)!r} is a tag, and plain data has none")
        if held[-1] > MOST_VALUES:
            raise _refused(event, f"it holds more than {MOST_VALUES} values, aliases written out")
        if len(held) > DEEPEST:
            raise _refused(event, f"it is nested more than {DEEPEST} deep")


def _like_number(text: str) -> bool:
    return text[0] in "+-.0123456789"


def _refused(event: yaml.Event, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _reason(error: Exception) -> str:
    text = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return " ".join(str(text).split())[:200] or "unreadable"
