"""Text files of a YOLO, which are small and many: labels, and predictions."""

from __future__ import annotations

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
