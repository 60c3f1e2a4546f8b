"""Where files lie, and writing them so that a failed run leaves nothing half-written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from synet.errors import SynetError


def lies_within(file: Path, folder: Path) -> bool:
    """Is `file` below `folder`, and not in a Python environment that happens to lie there?"""
    if not file.is_relative_to(folder):
        return False
    return not {"site-packages", "dist-packages"} & set(file.relative_to(folder).parts)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A private path beside `path` that takes its name when the block succeeds.

    The parent folder is made where it is missing. Whatever leaves the block
    early (an exception, Ctrl-C) removes the private file, and `path` is as it was.

    Raises
    ------
    SynetError
        The file cannot be written: no permission, a full disk, a folder in the way.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise SynetError(f"cannot write {path}: {error.strerror or error}") from None
    temporary = Path(name)
    try:
        yield temporary
        _open_to_others(temporary, 0o666)
        temporary.replace(path)
    except OSError as error:
        raise SynetError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


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
        It is a folder, not ours, or has no place where files may be written.
    """
    place = next(above for above in path.absolute().parents if above.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        what = "may not be written to" if place.is_dir() else "is a file"
        raise SynetError(f"cannot write {path}: {place} {what}")
    if path.is_dir():
        raise SynetError(f"{path} is a folder; give the file to write with --out")
    if path.exists() and not is_ours(path):
        raise SynetError(f"{path} exists and SyNet did not make it; move it, or give --out")


def refuse_used(folder: str | Path) -> None:
    """Make sure that a folder is not there yet, or empty.

    Raises
    ------
    SynetError
        Something is in the way.
    """
    folder = Path(folder)
    try:
        used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise SynetError(f"cannot write to {folder}: {error.strerror or error}") from None
    if used:
        raise SynetError(f"{folder} exists and is no empty folder; name another one")


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
    place = Path(os.path.abspath(folder))  # "." has no name, and nothing beside it
    private = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        yield private
        _open_to_others(private, 0o777)
        if place.exists():
            place.rmdir()
        private.rename(place)
    except OSError as error:
        raise SynetError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        if private:
            shutil.rmtree(private, ignore_errors=True)


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
    folder = new_folder(parent)
    try:
        with atomic_folder(folder) as private:
            fill(private)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    return folder


def _open_to_others(path: Path, rights: int) -> None:
    """Give what tempfile made, for its owner alone, the rights of ordinary files or folders."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(rights & ~umask)
