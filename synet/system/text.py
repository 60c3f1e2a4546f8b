"""Text from files, libraries and users, before it reaches a terminal or a log.

A class, a layer, a file may be called anything, and a terminal obeys what it is shown: it changes
colours and titles, writes over lines, turns text around, and answers as if the user had typed.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence

SPACES = "Zs"  # of any width, which are no more than that


def printable(text: object) -> str:
    r"""A text in one line, in which whatever is no letter, sign or space is spelled out.

    >>> printable("\x1b[31mcar\r\n\u202egnp.exe")
    '\\x1b[31mcar\\r\\n\\u202egnp.exe'
    """
    return "".join(
        each
        if each.isprintable() or unicodedata.category(each) == SPACES
        else each.encode("unicode_escape").decode()
        for each in str(text)
    )


def printable_lines(text: object) -> str:
    """As `printable`, of a text whose line ends are its own."""
    return "\n".join(map(printable, str(text).split("\n")))


def first_line(error: BaseException, longest: int = 300) -> str:
    """What an error says, fit for a line of ours: its first line, else its name."""
    line = str(error).strip().partition("\n")[0].rstrip() or type(error).__name__
    return printable(line)[:longest]


def in_one_line(record: logging.LogRecord) -> bool:
    """A filter of a logger, which makes messages `printable`."""
    record.msg, record.args = printable(record.getMessage()), None
    return True


def shown(value: object) -> str:
    """A value for a message: in one line, not too long, without control characters."""
    text = repr(value) if isinstance(value, str) else repr(value)[:1000]
    return text if len(text) <= 80 else f"{text[:80]}..."


def first_few(names: Sequence[str], most: int) -> str:
    """Names in a row, and how many more there are than are told."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
