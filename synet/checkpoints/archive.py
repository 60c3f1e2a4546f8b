"""The two forms of a file that ``torch.save`` writes, read without torch's help.

Today's is a zip archive of stored records: a pickle, and the content of each tensor. torch < 1.6
wrote several pickles, then the contents. One reader decides what is in a file, and gives no more
than the file holds.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch.storage import TypedStorage

from synet.checkpoints.machine import ForbiddenError, Machine
from synet.system import borrowed
from synet.system.errors import CheckpointError

# What torch < 1.6 wrote begins with a pickled number, in whichever protocol.
_LEGACY = re.compile(rb"\x80.(\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_PREAMBLE = 3  # pickles before the content: that number, a version, facts of the system
_LOCAL_HEAD = 30  # bytes that stand before a record, its name and an extra field

_PLACE = re.compile(r"\w*(:\d+)?")  # cpu, cuda:0

_TYPES = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8},
    **{"Byte": torch.uint8, "Bool": torch.bool, "BFloat16": torch.bfloat16},
    **{"ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128},
}


@dataclass(frozen=True)
class StorageType:
    """What a file names as the type of a tensor's content."""

    dtype: torch.dtype


STORAGES = {f"torch.{name}Storage": StorageType(dtype) for name, dtype in _TYPES.items()}
STORAGES |= {f"torch.cuda.{name}Storage": StorageType(dtype) for name, dtype in _TYPES.items()}
STORAGES |= {
    f"{module}.{name}": StorageType(torch.uint8)
    for module in ("torch", "torch.storage")
    for name in ("UntypedStorage", "_UntypedStorage")
}


class Contents:
    """The contents of a file's tensors, each made once and put where it belongs.

    Parameters
    ----------
    map_location
        As ``torch.load`` takes it.
    """

    def __init__(self, map_location: Any) -> None:
        self._restore = borrowed.restorer(map_location)
        self._made: dict[str, tuple[Any, int, TypedStorage]] = {}

    def content(self, saved: Any) -> TypedStorage:
        """The storage that a pickle describes.

        Raises
        ------
        ForbiddenError
            It describes no storage, or another one than before under the same key.
        """
        if (
            not isinstance(saved, tuple)
            or len(saved) < 5
            or saved[0] not in ("storage", b"storage")
        ):
            raise ForbiddenError("asks for what is no content of a tensor")
        _, kind, key, location, count, *view = saved
        if type(location) is bytes:
            location = location.decode("ascii")
        if (
            type(kind) is not StorageType
            or type(key) is not str
            or type(location) is not str
            or not _PLACE.fullmatch(location)
            or type(count) is not int
            or count < 0
            or any(part is not None for part in view)
        ):
            raise ForbiddenError("asks for what is no content of a tensor")
        if key not in self._made:
            untyped = self._restore(self._bytes(key, count * kind.dtype.itemsize, kind), location)
            self._made[key] = kind, count, borrowed.typed(untyped, kind.dtype)
        known, size, made = self._made[key]
        if (known, size) == (kind, count):
            return made
        if size == count == 0:
            return borrowed.typed(borrowed.untyped(made), kind.dtype)
        raise ForbiddenError("describes the content of a tensor in two ways")

    def _bytes(self, key: str, size: int, kind: StorageType) -> torch.UntypedStorage:
        raise NotImplementedError


class Archive(Contents):
    """Today's form.

    Parameters
    ----------
    file
        Stands at the beginning of the archive.
    title
        Of the file, for errors.

    Raises
    ------
    CheckpointError
        It is no archive of a checkpoint.
    """

    def __init__(self, file: IO[bytes], title: str, map_location: Any = "cpu") -> None:
        super().__init__(map_location)
        self._file = file
        self.size, entries = _directory(file, title)
        prefix = next((name[:-8] for name in entries if name.endswith("/data.pkl")), None)
        if prefix is None:
            raise CheckpointError(f"{title} is a zip file, but not one that torch.save wrote")
        self._entries = {
            name.removeprefix(prefix): entry
            for name, entry in entries.items()
            if name.startswith(prefix)
        }
        order = self._record("byteorder") if "byteorder" in self._entries else b"little"
        self._swapped = order.decode("ascii", "replace") != sys.byteorder

    @property
    def pickle(self) -> io.BytesIO:
        """The pickle of the content, from its beginning."""
        return io.BytesIO(self._record("data.pkl"))

    def finish(self) -> None:
        """All has been read."""

    def _record(self, name: str) -> bytes:
        entry = self._entries[name]
        self._seek(entry)
        data = self._file.read(entry.file_size)
        if len(data) < entry.file_size:
            raise EOFError(f"its record {name} is cut short")
        return data

    def _seek(self, entry: zipfile.ZipInfo) -> None:
        """Go to where the bytes of a record begin."""
        self._file.seek(entry.header_offset)
        head = self._file.read(_LOCAL_HEAD)
        name, extra = struct.unpack_from("<HH", head, _LOCAL_HEAD - 4)
        self._file.seek(entry.header_offset + _LOCAL_HEAD + name + extra)

    def _bytes(self, key: str, size: int, kind: StorageType) -> torch.UntypedStorage:
        entry = self._entries.get(f"data/{key}")
        there = entry.file_size if entry else 0
        if there != size:
            raise ForbiddenError(f"asks for {size} bytes of a tensor of which {there} are there")
        content = torch.empty(size, dtype=torch.uint8)
        if size:
            self._seek(entry)
            _read_into(self._file, content.numpy())
        storage = content.untyped_storage()
        if self._swapped:
            storage.byteswap(kind.dtype)
        return storage


class _Nowhere:
    """A world without anything but plain data."""

    def _refuse(self, *_: Any) -> Any:
        raise ForbiddenError("names something where torch.save notes numbers")

    named = filled = content = described = _refuse


class Legacy(Contents):
    """The form of torch < 1.6.

    Parameters
    ----------
    data
        The whole file.
    """

    def __init__(self, data: bytes, map_location: Any = "cpu") -> None:
        super().__init__(map_location)
        self._file = io.BytesIO(data)
        self.size = self._room = len(data)

    @property
    def pickle(self) -> io.BytesIO:
        """The pickle of the content, from its beginning."""
        self._file.seek(0)
        for _ in range(_PREAMBLE):
            self._plain()
        return self._file

    def finish(self) -> None:
        """Read what lies behind the content's pickle: the contents of its tensors."""
        keys = self._plain()
        for key in keys:
            kind, count, made = self._made[key]
            if int.from_bytes(self._file.read(8), "little") != count:
                raise EOFError("the contents of its tensors are of other sizes than it says")
            data = torch.empty(count * kind.dtype.itemsize, dtype=torch.uint8)
            _read_into(self._file, data.numpy())
            borrowed.untyped(made).copy_(data.untyped_storage())
        if len(set(keys)) < len(self._made):
            raise EOFError("contents of its tensors are missing")

    def _plain(self) -> Any:
        return Machine(self._file, _Nowhere()).run()

    def _bytes(self, key: str, size: int, kind: StorageType) -> torch.UntypedStorage:
        self._room -= size
        if self._room < 0:
            raise ForbiddenError("asks for more content of tensors than is there")
        return torch.UntypedStorage(size)


def opened(file: IO[bytes], title: str, map_location: Any = "cpu") -> Archive | Legacy | None:
    """What ``torch.save`` wrote into an open file; None if it wrote none of it.

    Raises
    ------
    CheckpointError
        It is damaged, or a zip file of another kind.
    """
    start = file.tell()
    head = file.read(32)
    file.seek(start)
    if head.startswith(b"PK\x03\x04"):
        return Archive(file, title, map_location)
    if _LEGACY.match(head):
        return Legacy(file.read(), map_location)
    return None


def _directory(file: IO[bytes], title: str) -> tuple[int, dict[str, zipfile.ZipInfo]]:
    """The size of a zip file, and its records by their names."""
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    damaged = CheckpointError(f"{title} is damaged or cut short; download or copy it again")
    with _no_warnings_of(damaged), zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    found = {entry.filename: entry for entry in entries}
    if len(found) < len(entries):
        raise damaged
    if any(name.endswith("/constants.pkl") for name in found):
        raise CheckpointError(
            f"{title} is a TorchScript file, which is code; give the .pt it was made from"
        )
    # torch.save stores; whatever would unpack to more than the file holds is a bomb
    stored = all(e.compress_type == zipfile.ZIP_STORED and not e.flag_bits & 1 for e in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise CheckpointError(
            f"{title} claims to unpack to more than its {size} bytes; torch.save does not "
            f"write such files: get it from its origin again"
        )
    return size, found


@contextlib.contextmanager
def _no_warnings_of(damaged: CheckpointError) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error):
        raise damaged from None


def _read_into(file: IO[bytes], place: Any) -> None:
    left = memoryview(place)
    while left:
        if hasattr(file, "readinto"):
            read = file.readinto(left)
        else:
            data = file.read(len(left))
            read = len(data)
            left[:read] = data
        if not read:
            raise EOFError("the content of a tensor is cut short")
        left = left[read:]
