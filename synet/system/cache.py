"""What took long to find out, kept in the user's cache by all that it depends on.

A place is named by a hash of these, so that nothing there is ever out of date. Where no cache can
be written, everything is found out anew.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from synet.system.errors import SynetError
from synet.system.files import write_atomic

VARIABLE = "SYNET_CACHE"  # names another folder
MOST_BYTES = 1 << 28  # of one kind of things; beyond them the oldest go


def folder() -> Path:
    """Where SyNet keeps what it can make again.

    Raises
    ------
    SynetError
        The user has no home, and no variable names a folder.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    try:
        above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise SynetError(
            f"you have no home folder; let {VARIABLE} name one to keep files in"
        ) from None
    return Path(above, "synet")


def private_folder(*parts: str) -> Path:
    """A folder in the cache that nobody else may look into, made where it is missing.

    Raises
    ------
    SynetError
        It cannot be made.
    """
    place = folder().joinpath(*parts)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SynetError(
            f"cannot write {place}: {error.strerror or error}; let {VARIABLE} name another folder"
        ) from None
    return place


def name_of(parts: Iterable[bytes | str]) -> str:
    """A name for what depends on `parts`, in this order, and on nothing else."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()


def recall(kind: str, parts: Iterable[bytes | str]) -> bytes | None:
    """What `remembered` has kept; None where there is nothing, or it is damaged."""
    with suppress(OSError, SynetError, zlib.error):
        return zlib.decompress(folder().joinpath(kind, name_of(parts)).read_bytes())
    return None


def remembered(kind: str, parts: Iterable[bytes | str], make: Callable[[], bytes]) -> bytes:
    """What `make` returns, which is kept.

    Parameters
    ----------
    kind
        Names a folder of the cache.
    parts
        All that it depends on.
    make
        Called where nothing is kept. What it raises is not.
    """
    parts = tuple(parts)
    found = recall(kind, parts)
    if found is None:
        found = make()
        with suppress(SynetError, OSError):
            place = private_folder(kind)
            write_atomic(place / name_of(parts), zlib.compress(found))
            _forget(place)
    return found


def _forget(place: Path) -> None:
    """Remove the oldest files of a folder that holds too much."""
    files = sorted(place.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    kept = 0
    for file in files:
        kept += file.stat().st_size
        if kept > MOST_BYTES:
            file.unlink(missing_ok=True)
