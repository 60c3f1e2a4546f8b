"""The files of a split: images in a folder and those below it, or the lines of a list."""

from __future__ import annotations

import mimetypes
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import cv2

from synet.data.images import is_image
from synet.system.errors import DataError

# What lies beside images in data sets; they need not be opened to see that they are none.
_NEITHER = "a split is a folder or a list of images, and this is neither"
NO_IMAGES = frozenset(".cache .csv .json .md .npy .txt .xml .yaml .yml".split())


def image_files(source: Path, suffixes: Collection[str]) -> Iterator[str]:
    """The images of a folder, hidden ones not, or of a list, by their suffix; absolute.

    Raises
    ------
    DataError
        It is a file that is no list.
    """
    return (file for file in _files(source) if is_image(file, suffixes))


def other_images(source: Path, suffixes: Collection[str]) -> Counter[str]:
    """How many files of each other suffix are images, by name or by content."""
    return pictures(file for file in _files(source) if not is_image(file, suffixes))


def pictures(files: Iterable[str]) -> Counter[str]:
    """How many of `files` are images of whatever kind, by suffix."""
    return Counter(os.path.splitext(file)[1].lower() for file in files if _is_picture(file))


def _is_picture(file: str) -> bool:
    suffix = os.path.splitext(file)[1].lower()
    if suffix in NO_IMAGES or os.path.basename(file).startswith("."):
        return False
    kind = mimetypes.guess_type(file)[0] or ""
    return kind.startswith("image/") or os.path.isfile(file) and cv2.haveImageReader(file)


def _files(source: Path) -> Iterator[str]:
    if source.is_dir():
        return _below(source)
    if source.is_file():
        return _listed(source)
    raise DataError(f"{source}: {_NEITHER}")


def _below(source: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(source, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(folder, file) for file in files)


def _listed(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for line in filter(None, map(str.strip, lines)):
                beside = os.path.join(path.parent, line)
                elsewhere = not os.path.exists(beside) and os.path.exists(line)
                yield os.path.abspath(line if elsewhere else beside)
    except (UnicodeDecodeError, ValueError):  # a name with a null in it, too
        raise DataError(f"{path}: {_NEITHER}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror or error}") from None
