"""Several folders, and a file, that come to be together or not at all.

Each is filled under a private name beside its own. An error, Ctrl-C or SIGTERM undoes everything;
what a killed run leaves, the next one for the same place removes. While they take their names, a
journal beside the file says which have: so a run that is killed then is undone as well.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from synet.system.errors import SynetError
from synet.system.private import lock, make_private, release, remove

JOURNAL = ".synet-moving"  # how its name ends


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
    removed by the next one; of what it had moved already, see `undo_killed`.
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
                fill = partial(Path.write_text, data=text, encoding="utf-8")
                staged[path], held = make_private(path, fill if path == file else Path.mkdir)
                locks += held
            yield staged
            refuse_taken(staged)
            with _journal(file, staged):
                for path, private in staged.items():
                    moved.append(path)  # noted first, and looked at afterwards: see _undo
                    private.rename(path)
                finished = True
        except OSError as error:
            place = error.filename2 or error.filename or file
            raise SynetError(f"cannot write {place}: {error.strerror or error}") from None
        finally:
            if not finished:
                _undo(staged, moved, made)
            release(locks)


def undo_killed(places: Sequence[Path]) -> None:
    """Remove what runs that were killed while they moved things to `places` had moved.

    What is as it was moved, by its number and time in the file system, is removed: what somebody
    has put there, or has added to, stays. A run that had moved the file, its last, is done.

    Parameters
    ----------
    places
        Folders, and at last the file, that are to be made; a journal of others is left alone.
    """
    for journal in [*places[-1].parent.glob(f".*{JOURNAL}")]:
        for handle in lock(journal):
            told, moved = _moved(journal)
            if set(told) <= set(places):
                for path in moved if moved[-1:] != told[-1:] else ():
                    remove(path)
                journal.unlink()
            os.close(handle)


@contextmanager
def _journal(file: Path, staged: Mapping[Path, Path]) -> Iterator[None]:
    """Beside `file`, as long as the block lasts: what is moved where."""
    told = {str(path): _identity(private) for path, private in staged.items()}
    journal = staged[file].with_suffix(JOURNAL)
    journal.write_text(json.dumps(told), encoding="utf-8")
    locks = lock(journal, wait=True)
    try:
        yield
    finally:
        journal.unlink(missing_ok=True)
        release(locks)


def _moved(journal: Path) -> tuple[list[Path], list[Path]]:
    """The places of a journal, and those of them that hold what was to be moved there."""
    try:
        told = {Path(path): it for path, it in json.loads(journal.read_bytes()).items()}
    except (ValueError, AttributeError):  # killed while it wrote: before it moved anything
        return [], []
    return list(told), [
        path for path in told if os.path.lexists(path) and _identity(path) == told[path]
    ]


def _identity(path: Path) -> list[int]:
    """What moving leaves as it is, and whatever is put in a folder does not."""
    status = path.lstat()
    return [status.st_dev, status.st_ino, status.st_mtime_ns]


def _undo(staged: Mapping[Path, Path], moved: Iterable[Path], made: list[Path]) -> None:
    for path in moved:
        if not os.path.lexists(staged[path]):  # else it was not moved: what is there is not ours
            path.rename(staged[path])
    for private in staged.values():
        remove(private)
    for folder in reversed(made):
        with suppress(OSError):  # not empty: somebody else has put something there
            folder.rmdir()


def _make_parents(path: Path, made: list[Path]) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        made.append(folder)
        folder.mkdir(exist_ok=True)


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
