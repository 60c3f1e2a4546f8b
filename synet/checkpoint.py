"""Reading checkpoints without running what is in them.

YOLO pickles whole models, and a pickle is a program. torch's restricted unpickler refuses
every class that is not on its list; this module puts on the list, for one file, what that
file names *and* may have: modules of torch, SyNet and the fork at hand, and plain data.

A listed class could still be *called* by the file, and the constructor of a YOLO model
evaluates strings of its configuration. So the unpickler gets, for each module class, a
stand-in that makes empty instances and refuses calls (`_Uncallable`).
"""

from __future__ import annotations

import argparse
import ast
import codecs
import collections
import contextlib
import datetime
import importlib
import io
import os
import pathlib
import pickletools
import re
import sys
import threading
import types
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn
from torch.torch_version import TorchVersion

from synet.errors import CheckpointError
from synet.files import lies_within

TRUST = "SYNET_TRUST_CHECKPOINT"

_torch_load = torch.load  # a patched process replaces the attribute
_LOADING = threading.RLock()  # torch's allow-list is one for the whole process
_OURS = (Path(nn.__file__).resolve().parent, Path(__file__).resolve().parent)
_LEGACY_PICKLES = 5  # torch < 1.6: magic number, version, system, content, storage keys


def read(path: str | Path, roots: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, running nothing that it brings along.

    Parameters
    ----------
    path
        What ``torch.save`` wrote: a YOLO checkpoint, a state dict or a whole module.
    roots
        Folders whose ``nn.Module`` classes the file may name: the fork, or the installed
        package, that made it. Its modules are imported where they are not yet.

    Returns
    -------
    dict
        The content; a bare module comes as ``{"model": module}``.

    Raises
    ------
    CheckpointError
        No checkpoint, a damaged one, or one that names what may not be loaded.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a checkpoint; name the .pt file in it")
    try:
        with path.open("rb") as file:
            content = _load(_torch_load, roots, file, map_location="cpu")
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
        with Path(path).open("rb") as file:
            return _names(file, str(path))
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
    **options: Any,
) -> Any:
    if os.environ.get(TRUST) == "1":
        return torch_load(
            f, map_location, pickle_module, weights_only=bool(weights_only), **options
        )
    if hasattr(f, "read"):
        title = str(getattr(f, "name", "the checkpoint"))
        named = _names(f, title)
    else:
        title = os.fspath(f)
        with open(f, "rb") as file:
            named = _names(file, title)
    allowed, refused = _sort(named, tuple(Path(root).resolve() for root in roots))
    if refused:
        raise _refusal(title, refused)
    with _LOADING:
        known = torch.serialization.get_safe_globals()  # the process's own stay when ours go
        fresh = [item for item in allowed if item not in known]
        with torch.serialization.safe_globals(fresh):
            try:
                return torch_load(f, map_location, weights_only=True, **options)
            except OSError:
                raise
            except Exception as error:  # a damaged pickle can raise anything
                raise _explained(title, error) from error


def _sort(named: set[str], roots: tuple[Path, ...]) -> tuple[list[tuple[Any, str]], list[str]]:
    """Sort names into entries for torch's allow-list and those that are refused.

    Other names of torch's go into neither: torch has its own opinion of them.
    """
    allowed: list[tuple[Any, str]] = []
    refused = []
    for name in sorted(named):
        if name in _PLAIN:
            allowed.append((_PLAIN[name], name))
        elif (cls := _module_class(name, roots)) is not None:
            # No name in a pickle has a line end: the second entry lets torch fill an
            # instance, and gives the file no way to get at the class.
            allowed += [(_stand_in(cls, name), name), (cls, f"{name}\n")]
        elif not name.startswith("torch.") or name in _REFUSED:
            refused.append(name)
    if any(name.startswith("numpy.") for name in named):
        allowed += _DTYPES
    return allowed, refused


class _Uncallable(type):
    """The type of stand-ins: classes of which a pickle can make instances but no calls."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"it calls {cls.__doc__}, which a model's checkpoint never does")


def _stand_in(cls: type[nn.Module], name: str) -> type:
    # Arguments are dropped: nn.Module pickles none, and takes none.
    make = {"__new__": lambda stand_in, *args: cls.__new__(cls), "__doc__": name, "cls": cls}
    return _Uncallable(cls.__name__, (), make)


def _forward(layer: Any, name: str) -> Callable:
    """``getattr``, for the one use that a model makes of it: to borrow another's ``forward``.

    YOLOv5's `Segment` keeps ``Detect.forward``, which is pickled as such a call.
    """
    if type(layer) is not _Uncallable or name != "forward":
        raise TypeError(f"it gets {name!r} of an object, which a model's checkpoint never does")
    return layer.cls.forward


def _module_class(name: str, roots: tuple[Path, ...]) -> type[nn.Module] | None:
    """The module class of that name, if it is defined in torch.nn, SyNet or below `roots`."""
    module_name, _, class_name = name.rpartition(".")
    trusted = (*_OURS, *roots)
    if module_name.startswith("synet."):
        importlib.import_module("synet.layers")  # all of them, however SyNet is installed
    module = sys.modules.get(module_name)
    if module is None and _defines(module_name, class_name, trusted):
        module = importlib.import_module(module_name)
    found = vars(module).get(class_name) if module is not None else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        return None
    # Where the class itself is from, not where the name points: it may be an alias.
    home = getattr(sys.modules.get(found.__module__), "__file__", None)
    return found if home is not None and _within(Path(home).resolve(), trusted) else None


def _defines(module_name: str, class_name: str, trusted: tuple[Path, ...]) -> bool:
    """Does a source file in a trusted folder define that class? Only then is it imported.

    Otherwise a checkpoint could have any script of the fork run, by naming it.
    """
    relative = Path(*module_name.split("."))
    for folder in sys.path:
        for file in (
            Path(folder, relative).with_suffix(".py"),
            Path(folder, relative, "__init__.py"),
        ):
            if file.is_file() and _within(file.resolve(), trusted):
                body = ast.parse(file.read_bytes()).body
                return any(isinstance(x, ast.ClassDef) and x.name == class_name for x in body)
    return False


def _within(file: Path, folders: tuple[Path, ...]) -> bool:
    return any(lies_within(file, folder) for folder in folders)


def _names(file: IO[bytes], title: str) -> set[str]:
    """What the pickles in an open file refer to; the file's position is kept."""
    start = file.tell()
    head = file.read(16)
    file.seek(start)
    try:
        if head.startswith(b"PK\x03\x04"):
            return _globals(io.BytesIO(_archived_pickle(file, title)))
        if head.startswith(b"\x80"):
            return set().union(*(_globals(file) for _ in range(_LEGACY_PICKLES)))
    finally:
        file.seek(start)
    what = f"it begins with {head!r}" if head else "it is empty"
    raise CheckpointError(f"{title} is not a checkpoint: {what}; download or copy it again")


def _archived_pickle(file: IO[bytes], title: str) -> bytes:
    """The one pickle in the archive that ``torch.save`` writes."""
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            pickles = [name for name in names if name.endswith("/data.pkl")]
            if any(name.endswith("/constants.pkl") for name in names):
                raise CheckpointError(
                    f"{title} is a TorchScript file, which is code; give the .pt it was made from"
                )
            if len(pickles) != 1 or len(set(names)) != len(names):
                raise CheckpointError(f"{title} is a zip file, but not one that torch.save wrote")
            # torch.save stores; whatever would unpack to more than the file holds is a bomb
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or sum(entry.file_size for entry in entries) > size:
                raise CheckpointError(
                    f"{title} claims to unpack to more than its {size} bytes; torch.save does not "
                    f"write such files: get it from its origin again"
                )
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError):
        raise CheckpointError(
            f"{title} is damaged or cut short; download or copy it again"
        ) from None


def _globals(pickled: IO[bytes]) -> set[str]:
    """Names that one pickle refers to, read without executing it.

    The strings that a STACK_GLOBAL takes are only guessed: torch refuses that instruction,
    and the guess lets the refusal name what the file was after.
    """
    names: set[str] = set()
    strings: list[str] = []
    memo: dict[int, str] = {}
    with contextlib.suppress(Exception):  # damaged: torch says what is wrong with it
        for instruction, value, _ in pickletools.genops(pickled):
            kind = instruction.name
            if kind in ("GLOBAL", "INST"):
                names.add(_todays_name(*value.split(" ", 1)))
            elif kind == "STACK_GLOBAL":
                names.add(_todays_name(*strings[-2:]))
            elif kind == "MEMOIZE" or kind.endswith("PUT"):
                memo[len(memo) if value is None else value] = strings[-1] if strings else ""
            elif kind.endswith("GET"):
                strings.append(memo.get(value, ""))
            elif isinstance(value, str):
                strings.append(value)
    return names


def _todays_name(module: str, name: str) -> str:
    # pickles of torch's protocol spell the standard library as Python 2 did
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[module, name]
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _explained(title: str, error: Exception) -> CheckpointError:
    """One line for whatever torch raised."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return _refusal(title, [refused[1]])
    reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip() or type(error).__name__
    return CheckpointError(
        f"{title} is damaged or was not written by torch.save: {reason.splitlines()[0]}"
    )


def _refusal(title: str, names: list[str]) -> CheckpointError:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return CheckpointError(
        f"{title} names {shown}: no module of torch, SyNet or the fork at hand, and no plain data; "
        f"nothing of it was run. Name the fork that made the file (--repo DIR), or, if you trust "
        f"it, set {TRUST}=1 for one run"
    )


# In torch's own list, but it calls whatever the file hands it.
_REFUSED = {"torch._tensor._rebuild_from_type_v2"}


def _plain_data() -> dict[str, Any]:
    """What is only data, under each name that some version pickled it by."""
    posix = os.name == "posix"
    paths = {  # a checkpoint from the other kind of system keeps its paths, pure
        "PosixPath": pathlib.PosixPath if posix else pathlib.PurePosixPath,
        "WindowsPath": pathlib.PureWindowsPath if posix else pathlib.WindowsPath,
        "PurePosixPath": pathlib.PurePosixPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }
    scalar, reconstruct = np.float64().__reduce__()[0], np.empty(0).__reduce__()[0]
    plain = {
        "builtins.getattr": _forward,
        "_codecs.encode": codecs.encode,  # bytes, in old protocols
        "argparse.Namespace": argparse.Namespace,
        "collections.Counter": collections.Counter,
        "collections.OrderedDict": collections.OrderedDict,
        "numpy.dtype": np.dtype,
        "numpy.ndarray": np.ndarray,
        "torch.torch_version.TorchVersion": TorchVersion,
        "types.SimpleNamespace": types.SimpleNamespace,
    }
    for cls in (bytearray, bytes, complex, frozenset, range, set, slice):
        plain[f"builtins.{cls.__name__}"] = cls
    for name in ("date", "datetime", "time", "timedelta", "timezone"):
        plain[f"datetime.{name}"] = getattr(datetime, name)
    for core in ("numpy.core", "numpy._core"):
        plain[f"{core}.multiarray.scalar"] = scalar
        plain[f"{core}.multiarray._reconstruct"] = reconstruct
    for module in ("pathlib", "pathlib._local"):
        plain |= {f"{module}.{name}": cls for name, cls in paths.items()}
    return plain


_PLAIN = _plain_data()
# The classes of dtype instances, which a pickle fills but does not name.
_DTYPES = [
    (cls, f"{cls.__module__}.{cls.__qualname__}\n")
    for cls in {type(np.dtype(code)) for code in np.typecodes["All"]}
]
