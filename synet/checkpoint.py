"""Reading checkpoints without running what is in them.

YOLO pickles whole models, and a pickle is a program. Everywhere in SyNet, and in a patched
fork's own ``torch.load``, a file may name the classes of torch.nn, SyNet and the fork that
are modules, and plain data (`synet.allowed`); it is read by an unpickler that runs nothing
(`synet.unpickle`). Anything else is refused by name.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from synet.errors import CheckpointError
from synet.run import HANDED_OVER
from synet.unpickle import ForbiddenError, Reading, names_in, shown

TRUST = "SYNET_TRUST_CHECKPOINT"

# What torch < 1.6 wrote begins with a pickled number, in whichever protocol.
_LEGACY = re.compile(rb"\x80.(\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)


def read(
    path: str | Path, roots: Iterable[str | Path] = (), *, forkless: bool = False
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, running nothing that it brings along.

    Parameters
    ----------
    path
        What ``torch.save`` wrote: a YOLO checkpoint, a state dict or a whole module.
    roots
        Folders whose ``nn.Module`` classes the file may name: the fork, or the installed
        package, that made it. Its modules are imported where they are not yet.
    forkless
        Read it, too, where the fork is not here: a model whose rows hold only layers of
        torch and SyNet then comes as a `synet.network.Network`.

    Returns
    -------
    dict
        The content; a bare module comes as ``{"model": module}``.

    Raises
    ------
    CheckpointError
        No checkpoint, a damaged one, one that names what may not be loaded, or one that
        needs a fork which is not here.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a checkpoint; name the .pt file in it")
    torch_load = inspect.unwrap(torch.serialization.load)  # in a patched process it is wrapped
    try:
        content = _load(torch_load, roots, path, map_location="cpu", forkless=forkless)
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
    if isinstance(content, nn.Module):
        return {"model": content}
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a checkpoint: "
            f"a dictionary with a 'model', a state dict or a module is needed"
        )
    return content


def classes_named(path: str | Path) -> set[str]:
    """The classes and functions that a checkpoint refers to, as ``"module.Class"``, unloaded.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, or cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            if legacy := _checked(file, str(path)):
                return names_in(legacy, 4)  # magic number, version, system, content
            reader = torch._C.PyTorchFileReader(file)
            return names_in(io.BytesIO(reader.get_record("data.pkl")))
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror or error}") from None


def safe_load(roots: Callable[[], Iterable[str | Path]]) -> Callable:
    """A wrapt wrapper for ``torch.load`` that loads like `read`, whatever it is asked for.

    ``weights_only=False`` and a ``pickle_module`` are honoured only where the user has set
    ``SYNET_TRUST_CHECKPOINT=1``. A missing file stays the ``OSError`` that forks expect.

    Parameters
    ----------
    roots
        Called at each load, as forks are discovered while the process runs.
    """

    def load(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        return _load(wrapped, roots(), *args, **kwargs)

    return load


def _load(
    torch_load: Callable,
    roots: Iterable[str | Path],
    f: str | Path | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    forkless: bool = False,
    **options: Any,
) -> Any:
    if os.environ.get(TRUST) == "1" or str(f) == os.environ.get(HANDED_OVER):
        return torch_load(
            f, map_location, pickle_module, weights_only=bool(weights_only), **options
        )
    if hasattr(f, "read"):
        title = str(getattr(f, "name", "the checkpoint"))
        f = _checked(f, title) or f
    else:
        title = str(os.fspath(f))
        with open(f, "rb") as file:
            f = _checked(file, title) or f
    reading = Reading(tuple(Path(root).resolve() for root in roots), forkless)
    try:
        # weights_only would be torch's own unpickler, which knows no fork and takes four times
        # as long; this one is not more lenient (see synet.unpickle).
        with _as_asked():
            content = torch_load(
                f, map_location, reading.pickle_module(), weights_only=False, **options
            )
        content = content if reading.refused else reading.finished(content)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise _explained(title, reading, error) from error
    if reading.refused:
        raise _refusal(title, reading.refused)
    if reading.missing:
        raise CheckpointError(
            f"{title} needs {_listed(reading.missing)} of the fork that made it; name that fork's "
            f"folder (--repo DIR)"
        )
    return content


@contextlib.contextmanager
def _as_asked() -> Iterator[None]:
    """Let torch take our unpickler where the user has it insist on its own, as no less safe."""
    insists = os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD", None)
    try:
        yield
    finally:
        if insists is not None:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = insists


def _checked(file: IO[bytes], title: str) -> IO[bytes] | None:
    """See that an open file is what ``torch.save`` writes; its position is kept.

    Returns
    -------
    What torch shall read in its place, where it must not be given the file.
    """
    start = file.tell()
    head = file.read(32)
    file.seek(start)
    if head.startswith(b"PK\x03\x04"):
        _check_archive(file, title)
        file.seek(start)
        return None
    if _LEGACY.match(head):
        # Of a file on a disk torch would first ask whether it is a tar, and unpack that.
        return io.BytesIO(file.read())
    what = f"it begins with {head[:16]!r}" if head else "it is empty"
    if head.startswith(b"\x80"):
        what = "it is a pickle that torch.save did not write"
        if names := names_in(file):
            what += f", and names {_listed(map(shown, names))}"
    raise CheckpointError(f"{title} is not a checkpoint: {what}; download or copy it again")


def _check_archive(file: IO[bytes], title: str) -> None:
    start, size = file.tell(), file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        # torch.save stores; whatever would unpack to more than the file holds is a bomb
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > size:
            raise CheckpointError(
                f"{title} claims to unpack to more than its {size} bytes; torch.save does not "
                f"write such files: get it from its origin again"
            )
        file.seek(start)
        # torch's own reader decides: another one may see other entries in the same bytes
        names = torch._C.PyTorchFileReader(file).get_all_records()
    except RuntimeError:  # torch's
        names = []
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError):
        raise CheckpointError(
            f"{title} is damaged or cut short; download or copy it again"
        ) from None
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{title} is a TorchScript file, which is code; give the .pt it was made from"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{title} is a zip file, but not one that torch.save wrote")


def _explained(title: str, reading: Reading, error: Exception) -> CheckpointError:
    """One line for whatever was raised while a file was read."""
    if reading.refused:
        return _refusal(title, reading.refused)
    if isinstance(error, ForbiddenError):
        return CheckpointError(
            f"{title} {error}, which no model's checkpoint does; nothing of it was run. {_TRUST}"
        )
    if isinstance(error, CheckpointError):
        return CheckpointError(f"{title} {error}")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CheckpointError(f"{title} is damaged or was not written by torch.save: {reason}")


def _refusal(title: str, names: list[str]) -> CheckpointError:
    return CheckpointError(
        f"{title} names {_listed(names)}: no module of torch, SyNet or the fork at hand, and no "
        f"plain data; nothing of it was run. Name the fork that made it (--repo DIR). {_TRUST}"
    )


def _listed(names: Iterable[str]) -> str:
    names = sorted(set(names))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


_TRUST = f"If you trust the file, set {TRUST}=1 for one run"
