"""Instructions of pickles, put together by hand, and the files that they come in."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import torch


def text(string: str) -> bytes:
    data = string.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def glob(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stack_glob(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def new(cls: bytes, *arguments: bytes) -> bytes:
    return cls + tuple_of(*arguments) + b"\x81"


def filled(instance: bytes, state: bytes) -> bytes:
    return instance + state + b"b"


def mapping(**items: bytes) -> bytes:
    return b"}" + b"".join(text(key) + value + b"s" for key, value in items.items())


PARTS = {name: b"}" for name in ("_parameters", "_buffers", "_modules")}


def layer(cls: bytes, **attributes: bytes) -> bytes:
    """A module as torch pickles it, of that class."""
    return filled(new(cls), mapping(**PARTS | attributes))


def persistent(saved: bytes) -> bytes:
    return saved + b"Q"


def pickled(value: object) -> bytes:
    """The instructions that make `value`, without head and end."""
    return pickle.dumps(value, protocol=2)[2:-1]


def archive(file: Path, body: bytes, **options: int) -> Path:
    """A zip such as torch.save writes, around any pickle."""
    with zipfile.ZipFile(file, "w", **options) as out:
        out.writestr("a/data.pkl", b"\x80\x02" + body + b".")
        out.writestr("a/data/0", bytes(4))
        out.writestr("a/version", "3\n")
    return file


def legacy(file: Path, body: bytes) -> Path:
    """A file such as torch < 1.6 wrote, around any pickle."""
    stream = io.BytesIO()
    torch.save(None, stream, _use_new_zipfile_serialization=False)
    head, none, tail = stream.getvalue().rpartition(b"\x80\x02N.")
    assert none
    file.write_bytes(head + b"\x80\x02" + body + b"." + tail)
    return file


def bare(file: Path, body: bytes) -> Path:
    file.write_bytes(b"\x80\x02" + body + b".")
    return file


def pickled_tensor() -> bytes:
    """A tensor of one number, which `archive` holds."""
    return rebuilt((b"K\x00", b"K\x01\x85", b"K\x01\x85"))


def numbers(offset: int, shape: list[int], stride: list[int]) -> tuple[bytes, bytes, bytes]:
    """Where a tensor lies in its storage."""
    return pickled(offset), pickled(tuple(shape)), pickled(tuple(stride))


def rebuilt(
    place: tuple[bytes, bytes, bytes], hooks: bytes = b"", *more: bytes, count: int = 1
) -> bytes:
    """A tensor at that place of the storage of `archive`, as torch pickles it."""
    storage = (text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"))
    content = persistent(tuple_of(*storage, pickled(count)))
    function = glob("torch._utils", "_rebuild_tensor_v2")
    return call(function, content, *place, b"\x89", hooks or ordered_dict(), *more)


def ordered_dict() -> bytes:
    return glob("collections", "OrderedDict") + b")R"


def octets(data: bytes) -> bytes:
    return b"B" + len(data).to_bytes(4, "little") + data
