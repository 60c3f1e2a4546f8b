"""Where files lie, and writing them so that a failed run leaves nothing half-written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from synet.system.errors import SynetError
from synet.system.private import make_private, release, sweep

# a pipe is not waited for where the system can say so; Windows would change line ends
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def lies_within(file: Path, folder: Path) -> bool:
    """Is `file` below `folder`, and not in a Python environment that happens to lie there?"""
    if not file.is_relative_to(folder):
        return False
    return not {"site-packages", "dist-packages"} & set(file.relative_to(folder).parts)


def regular_bytes(path: str | Path, largest: int | None = None) -> bytes:
    """What is in an ordinary file: a device has no end, and a pipe would be waited for.

    Raises
    ------
    OSError
        It cannot be opened or read, is something else, or has more than `largest` bytes;
        ``strerror`` says what.
    """
    try:
        handle = os.open(path, _READING)
    except ValueError:  # a NUL in its name
        raise OSError(errno.EINVAL, "no file has such a name") from None
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        if largest is not None and found.st_size > largest:
            raise OSError(errno.EFBIG, f"it is larger than {largest >> 20} MiB")
        parts = []
        while part := os.read(handle, found.st_size + 1):
            parts.append(part)
    finally:
        os.close(handle)
    return b"".join(parts)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A private path beside `path` that takes its name when the block succeeds.

    The parent folder is made where it is missing. Where `path` is a link, what it leads to is
    replaced. Whatever leaves the block early (an exception, Ctrl-C) removes the private file, and
    `path` is as it was; what a killed run left is removed by the next one. Of two writers, the
    last one wins, wholly.

    Raises
    ------
    SynetError
        The file cannot be written: no permission, a full disk, a folder or a device in the way.
    """
    place, private, locks = file_place(path), None, []
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        private, locks = make_private(place, partial(Path.touch, exist_ok=False), place.suffix)
        yield private
        if place.exists():
            shutil.copymode(place, private)
        private.replace(file_place(path))  # a folder may have come to be there meanwhile
    except OSError as error:
        raise SynetError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if private:
            private.unlink(missing_ok=True)
        release(locks)


def file_place(path: str | Path) -> Path:
    """Where a file of that name is written: `path`, or what it leads to if it is a link.

    Raises
    ------
    SynetError
        What is there is no file.
    """
    place = Path(os.path.realpath(path))
    try:
        mode = place.lstat().st_mode
    except OSError:  # nothing there, or nothing that may be seen: writing tells
        return place
    if stat.S_ISDIR(mode):
        raise SynetError(f"cannot write {path}: it is a folder; name a file")
    if stat.S_ISLNK(mode):
        raise SynetError(f"cannot write {path}: it is a link that leads to itself")
    if not stat.S_ISREG(mode):
        raise SynetError(f"cannot write {path}: it is a device or a pipe; name a file")
    return place


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path`, wholly or not at all."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to replace a file that SyNet did not make, or to work for one that cannot be written.

    Parameters
    ----------
    path
        The file that is to be written.
    is_ours
        Whether SyNet made the file that is there.

    Raises
    ------
    SynetError
        It is a folder, a device, not ours, or has no place where files may be written.
    """
    refuse_unwritable(path)
    if path.is_dir():
        raise SynetError(f"{path} is a folder; give the file to write with --out")
    if file_place(path).exists() and not is_ours(path):
        raise SynetError(f"{path} exists and SyNet did not make it; move it, or give --out")


def refuse_unwritable(path: Path) -> None:
    """Refuse to work for a file or a folder that could not be made in the end.

    Raises
    ------
    SynetError
        It would lie in what is no folder, or in one that may not be written to.
    """
    real = Path(os.path.realpath(path))  # what a link leads to is written, and not the link
    place = next(above for above in real.parents if above.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        what = "may not be written to" if place.is_dir() else "is a file"
        raise SynetError(f"cannot write {path}: {place} {what}")


def refuse_used(folder: str | Path) -> None:
    """Make sure that a folder is not there yet, or empty, and can be made.

    Raises
    ------
    SynetError
        Something is in the way, or nothing may be written there.
    """
    place = Path(os.path.realpath(folder))
    try:
        used = os.path.lexists(place) and (not place.is_dir() or any(place.iterdir()))
    except OSError as error:
        raise SynetError(f"cannot write to {folder}: {error.strerror or error}") from None
    if used:
        raise SynetError(f"{folder} exists and is no empty folder; name another one")
    refuse_unwritable(place)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """A private folder beside `folder` that takes its name when the block succeeds.

    Whatever leaves the block early removes it, and leaves `folder` as it was.

    Raises
    ------
    SynetError
        `folder` is in use, or cannot be written.
    """
    refuse_used(folder)
    place = Path(os.path.realpath(folder))  # "." has no name, and nothing beside it
    private, locks = None, []
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        private, locks = make_private(place, Path.mkdir)
        yield private
        if place.exists():
            place.rmdir()
        private.rename(place)
    except OSError as error:
        raise SynetError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        if private:
            shutil.rmtree(private, ignore_errors=True)
        release(locks)


def new_folder(parent: str | Path) -> Path:
    """Make the first of ``exp``, ``exp2``, ``exp3``, ... that is not in `parent` yet.

    Raises
    ------
    SynetError
        It cannot be made: no permission, a file in the way of `parent`.
    """
    parent = Path(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = parent / f"exp{number if number > 1 else ''}"
            with suppress(FileExistsError):
                folder.mkdir()
                break
    except OSError as error:
        raise SynetError(f"cannot write to {parent}: {error.strerror or error}") from None
    return folder


def fill_folder(parent: str | Path, fill: Callable[[Path], None]) -> Path:
    """A `new_folder` that stays empty until it is complete, and goes if `fill` fails.

    The one of a run that was killed goes as well.

    Parameters
    ----------
    parent
        Where the folder is made.
    fill
        Is given a private folder in `parent` to write into.

    Raises
    ------
    SynetError
        The folder cannot be made or written to.
    """
    for killed in sweep(Path(parent), re.compile(r"exp\d*").fullmatch):
        with suppress(OSError):  # gone, or not empty: somebody else has put something there
            killed.rmdir()
    folder = new_folder(parent)
    try:
        with atomic_folder(folder) as private:
            fill(private)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    return folder
