"""Several folders, and a file, that come to be together or not at all.

Each is filled under a private name beside its own. An error, Ctrl-C or SIGTERM undoes everything;
what a killed run leaves are private folders, which the next run for the same place removes.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synet.errors import SynetError

try:
    import fcntl
except ImportError:  # Windows: what a killed run left is not told from a running one
    fcntl = None

LOGGER = logging.getLogger("synet")
PRIVATE = ".synet-part"  # how the names of what is being filled end


def refuse_taken(paths: Iterable[Path]) -> None:
    """Refuse to write where something is.

    Raises
    ------
    SynetError
        One of `paths` is there, a link that leads nowhere included.
    """
    for path in paths:
        if os.path.lexists(path):
            raise SynetError(f"{path} exists already; move it away, or name another place")


@contextmanager
def staged_together(folders: Iterable[Path], file: Path, text: str) -> Iterator[dict[Path, Path]]:
    """A private folder beside each of `folders`, and a private file with `text` beside `file`.

    They take their own names when the block succeeds. Whatever leaves it early, SIGTERM included,
    removes them, and the folders that were made to hold them. What a run that was killed left is
    removed by the next one.
    """
    made: list[Path] = []
    staged: dict[Path, Path] = {}
    moved: list[Path] = []
    locks: list[int] = []
    finished = False
    with _ended_by_signals():
        try:
            for path in (*folders, file):
                _make_parents(path, made)
                _sweep(path)
                private = path.with_name(f".{path.name}-{secrets.token_hex(4)}{PRIVATE}")
                staged[path] = private
                if path == file:
                    private.write_text(text, encoding="utf-8")
                else:
                    private.mkdir()
                locks += _lock(private)
            yield staged
            refuse_taken(staged)
            for path, private in staged.items():
                moved.append(path)  # noted first, and looked at afterwards: see _undo
                private.rename(path)
            finished = True
        except OSError as error:
            place = error.filename2 or error.filename
            raise SynetError(f"cannot write {place}: {error.strerror or error}") from None
        finally:
            if not finished:
                _undo(staged, moved, made)
            for lock in locks:
                os.close(lock)


def _undo(staged: Mapping[Path, Path], moved: Iterable[Path], made: list[Path]) -> None:
    for path in moved:
        if not os.path.lexists(staged[path]):  # else it was not moved: what is there is not ours
            path.rename(staged[path])
    for private in staged.values():
        _remove(private)
    for folder in reversed(made):
        with suppress(OSError):  # not empty: somebody else has put something there
            folder.rmdir()


def _make_parents(path: Path, made: list[Path]) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        made.append(folder)
        folder.mkdir(exist_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed runs left for `path`; a run that is alive holds a lock."""
    ours = re.compile(re.escape(f".{path.name}-") + "[0-9a-f]{8}" + re.escape(PRIVATE))
    for private in [each for each in path.parent.iterdir() if ours.fullmatch(each.name)]:
        for lock in _lock(private):
            LOGGER.warning("removing %s, which a run that was killed has left", private)
            _remove(private)
            os.close(lock)


def _lock(path: Path) -> list[int]:
    """Lock a file or folder until its handle is closed; none where that cannot be done."""
    if fcntl is None or path.is_symlink():
        return []
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return []
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody else has it, or the file system has no locks
        os.close(handle)
        return []
    return [handle]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what ends a process end it as Ctrl-C does, with time to clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: Any) -> None:
        sys.exit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, end)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
