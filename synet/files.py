"""Where files lie, and writing them so that a failed run leaves nothing half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
        umask = os.umask(0)  # mkstemp makes the file private: give it an ordinary file's rights
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
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
