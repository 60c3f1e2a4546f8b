"""Text files of a YOLO, which are small and many: labels, and predictions.

A line is numbers: a class, and places as fractions of the image.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synet.system.errors import DataError
from synet.system.files import regular_bytes


def read_bytes(path: str | Path, content: str) -> bytes:
    """What a file holds; nothing where there is none.

    Parameters
    ----------
    content
        What it is, for messages: ``labels``.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        return regular_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot read the {content}: {reason}") from None


def read_lines(path: str | Path, content: str, encoding: str = "utf-8-sig") -> list[str]:
    """As `read_bytes`, in lines.

    Raises
    ------
    DataError
        It cannot be read, or is no text.
    """
    try:
        return read_bytes(path, content).decode(encoding).splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: cannot read the {content}: not UTF-8 text") from None


class LineError(ValueError):
    """A line is malformed: its number, from 0, and what is wrong with it."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line, self.problem = line, problem


@contextmanager
def located(path: str | Path, form: str) -> Iterator[None]:
    """Tell of a `LineError` as a `DataError` with file and line, from 1, and what a line is."""
    try:
        yield
    except LineError as error:
        raise DataError(f"{path}:{error.line + 1}: {error.problem}; {form}") from None


def rows_of(
    lines: Sequence[str | bytes], classes: int, any_class: bool = False
) -> dict[int, list[float]]:
    """What stands in each line that is not blank, by its number; as float32, as YOLO compares it.

    Raises
    ------
    LineError
        One is not made of numbers, or the first is no id of `classes`, where not any will do.
    """
    rows = {}
    most = math.inf if any_class else classes
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = rows[number] = array("f", map(float, line.split())).tolist()
        except ValueError:
            text = line if isinstance(line, str) else line.decode(errors="replace")
            raise LineError(number, f"{text.strip()[:80]!r} is not made of numbers") from None
        if not (0 <= row[0] < most and row[0].is_integer()):
            raise LineError(number, f"class {row[0]:g} is not one of 0 to {classes - 1}")
    return rows


def check_places(number: int, places: Iterable[float], low: float = 0, high: float = 1) -> None:
    """See that all places of a line lie in the image."""
    for place in places:
        if not low <= place <= high:
            raise LineError(number, f"{place:g} is outside 0-1")
