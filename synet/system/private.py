"""Private names: what is being written, beside the place whose name it takes when it is complete.

A private name is ``.NAME-1f0c2a9b.synet-part``, with the suffix of a file again at its end. Its
writer holds a lock as long as it lives, so that what a killed one has left is known, and removed
by the next writer for the same place.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a killed run left is not told from a running one
    fcntl = None

LOGGER = logging.getLogger("synet")
PRIVATE = ".synet-part"
_FORM = re.compile(r"\.(.*)-[0-9a-f]{8}" + re.escape(PRIVATE) + r"(\.[^.]*)?", re.DOTALL)
_LONGEST = 40  # letters of a name: with all that is added, no file system finds it too long


def make_private(
    place: Path, make: Callable[[Path], object], suffix: str = ""
) -> tuple[Path, list[int]]:
    """Make a private file or folder for `place`, after removing those of killed writers.

    Parameters
    ----------
    place
        Its parent is there.
    make
        Makes what has that name.
    suffix
        Of the private name.

    Returns
    -------
    It, and the handles that lock it: close them when it has its own name, or is gone.
    """
    name = place.name[:_LONGEST]
    sweep(place.parent, name.__eq__)
    while True:
        private = place.with_name(f".{name}-{secrets.token_hex(4)}{PRIVATE}{suffix}")
        make(private)
        locks = lock(private, wait=True)
        if os.path.lexists(private):  # else somebody swept it before it was locked
            return private, locks
        release(locks)


def sweep(
    folder: Path, is_wanted: Callable[[str], object] = lambda name: True, pattern: str = "*"
) -> list[Path]:
    """Remove what killed writers left in `folder`; a writer that is alive holds a lock.

    Parameters
    ----------
    folder
        Where to look; where there is none, there is nothing to remove.
    is_wanted
        Whether to remove what was to take a name that begins so. Default: all.
    pattern
        ``**/*`` looks below `folder` as well.

    Returns
    -------
    The places whose names they were to take.
    """
    found = []
    for private in list(folder.glob(pattern)):
        form = _FORM.fullmatch(private.name)
        for handle in lock(private) if form and is_wanted(form[1]) else ():
            LOGGER.warning("removing %s, which a run that was killed has left", private)
            remove(private)
            os.close(handle)
            found.append(private.with_name(form[1]))
    return found


def lock(path: Path, wait: bool = False) -> list[int]:
    """Lock a file or folder until its handle is closed; none where that cannot be done."""
    if fcntl is None or path.is_symlink():
        return []
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # somebody else has it, or the file system has no locks
        os.close(handle)
        return []
    return [handle]


def release(locks: Iterable[int]) -> None:
    """Close handles that lock something."""
    for handle in locks:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
