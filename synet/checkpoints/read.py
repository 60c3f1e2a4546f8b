"""Reading checkpoints without running what is in them.

YOLO pickles whole models, and a pickle is a program. Everywhere in SyNet, and in a patched
fork's own ``torch.load``, a file may name the classes of torch.nn, SyNet and the fork that
are modules, and plain data (`synet.checkpoints.allowed_names`); it is read by an unpickler that
runs nothing (`synet.checkpoints.unpickle`). Anything else is refused by name.
"""

from __future__ import annotations

import inspect
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from synet.checkpoints.allowed_names import OwnClass, as_it_is
from synet.checkpoints.archive import Archive, Legacy, opened
from synet.checkpoints.machine import ForbiddenError, Machine
from synet.checkpoints.unpickle import Reading, names_in, shown
from synet.system.environment import HANDED_OVER
from synet.system.errors import CheckpointError
from synet.system.text import first_few, first_line

TRUST = "SYNET_TRUST_CHECKPOINT"

# What other files begin with, which may have been given the name of a checkpoint.
KINDS = {
    "an ONNX file": re.compile(rb"\x08[\x01-\x1f][\x12:B]"),
    "a TFLite file": re.compile(rb"....TFL3", re.DOTALL),
    "a Keras file of HDF5": re.compile(rb"\x89HDF\r\n"),
}
_CENSUS = 1 << 24  # bytes of a pickle that is none of torch's, to be searched for names


def read(
    path: str | Path,
    roots: Iterable[str | Path] = (),
    *,
    forkless: bool = False,
    own_class: OwnClass = as_it_is,
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
        torch and SyNet then comes as a `synet.checkpoints.rows_network.Network`.
    own_class
        Tells the class that a module of a fork had before a patch, of a module's name and what it
        has now. It is asked for a file that names none of SyNet's.

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
        content = _load(
            torch_load, roots, path, map_location="cpu", forkless=forkless, own_class=own_class
        )
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
            written = _opened(file, str(path))
            with _whole(str(path)):
                return names_in(written.pickle)
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror or error}") from None


def safe_load(
    roots: Callable[[], Iterable[str | Path]], own_class: OwnClass = as_it_is
) -> Callable:
    """A wrapt wrapper for ``torch.load`` that loads like `read`, whatever it is asked for.

    ``weights_only=False`` and a ``pickle_module`` are honoured only where the user has set
    ``SYNET_TRUST_CHECKPOINT=1``. A missing file stays the ``OSError`` that forks expect.

    Parameters
    ----------
    roots
        Called at each load, as forks are discovered while the process runs.
    own_class
        As for `read`.
    """

    def load(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        return _load(wrapped, roots(), *args, own_class=own_class, **kwargs)

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
    own_class: OwnClass = as_it_is,
    **options: Any,
) -> Any:
    if os.environ.get(TRUST) == "1" or str(f) == os.environ.get(HANDED_OVER):
        return torch_load(
            f, map_location, pickle_module, weights_only=bool(weights_only), **options
        )
    resolved = tuple(Path(root).resolve() for root in roots)
    reader = partial(Reading, roots=resolved, forkless=forkless)
    encoding = options.get("encoding", "utf-8")
    if hasattr(f, "read"):
        title = str(getattr(f, "name", "the checkpoint"))
        return _content(f, title, reader, own_class, map_location, encoding)
    with open(f, "rb") as file:
        return _content(file, str(os.fspath(f)), reader, own_class, map_location, encoding)


def _content(
    file: IO[bytes],
    title: str,
    reader: Callable[..., Reading],
    own_class: OwnClass,
    map_location: Any,
    encoding: str,
) -> Any:
    written = _opened(file, title, map_location)
    if own_class is not as_it_is and any(n.startswith("synet.") for n in names_in(written.pickle)):
        own_class = as_it_is
    reading = reader(written.content, written.size, own_class=own_class)
    try:
        content = Machine(written.pickle, reading, encoding).run()
        if not reading.refused:
            written.finish()
            content = reading.finished(content)
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


def _opened(file: IO[bytes], title: str, map_location: Any = "cpu") -> Archive | Legacy:
    """What ``torch.save`` wrote into an open file.

    Raises
    ------
    CheckpointError
        It did not write that.
    """
    start = file.tell()
    with _whole(title):
        written = opened(file, title, map_location)
    if written is not None:
        return written
    file.seek(start)
    head = file.read(32)
    kind = next((kind for kind, start in KINDS.items() if start.match(head)), None)
    if kind is not None:
        raise CheckpointError(
            f"{title} is not a checkpoint: it looks like {kind}; give the .pt it was made from"
        )
    what = f"it begins with {head[:16]!r}" if head else "it is empty"
    if head.startswith(b"\x80"):
        what = "it is a pickle that torch.save did not write"
        if names := names_in(io.BytesIO(head + file.read(_CENSUS))):
            what += f", and names {_listed(map(shown, names))}"
    raise CheckpointError(f"{title} is not a checkpoint: {what}; download or copy it again")


@contextmanager
def _whole(title: str) -> Iterator[None]:
    """Tell in one line of a file that ends, or goes on, where it should not."""
    try:
        yield
    except (EOFError, IndexError, ValueError, ForbiddenError):
        raise CheckpointError(
            f"{title} is damaged or cut short; download or copy it again"
        ) from None


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
    return CheckpointError(
        f"{title} is damaged or was not written by torch.save: {first_line(error)}"
    )


def _refusal(title: str, names: list[str]) -> CheckpointError:
    return CheckpointError(
        f"{title} names {_listed(names)}: no module of torch, SyNet or the fork at hand, and no "
        f"plain data; nothing of it was run. Name the fork that made it (--repo DIR). {_TRUST}"
    )


def _listed(names: Iterable[str]) -> str:
    return first_few(sorted(set(names)), 5)


_TRUST = f"If you trust the file, set {TRUST}=1 for one run"
