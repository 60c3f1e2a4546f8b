"""Exported files, images, labels and predictions of strangers."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from adversarial.checkpoints import Runs

ESCAPES = ["\x1b]0;gone\x07\x1b[2J", "a\r\nsynet: all is well"]


# --------------------------------------------------------------------------------- .tflite


def write_tflite(folder: Path, sound: bytes) -> Iterator[tuple[str, Path]]:
    """`sound` is a file without metadata."""
    whole = {
        "empty": b"",
        "noise": bytes(range(256)) * 10,
        "head alone": sound[:64],
        "half": sound[: len(sound) // 2],
        "without its end": sound[:-1000],
        "of zeros": sound[:8] + bytes(len(sound) - 8),
        "offsets beyond the end": sound[:8] + b"\xff\xff\xff\x7f" * 64 + sound[264:],
        "negative offsets": sound[:8] + b"\x00\x00\x00\x80" * 64 + sound[264:],
        "another root": b"\xf0\xff\xff\x7f" + sound[4:],
        "html": b"<!DOCTYPE html><html>404</html>",
    }
    random = np.random.default_rng(0)
    for number in range(12):
        damaged = bytearray(sound)
        for at in random.integers(0, 40_000, 200):
            damaged[at] = random.integers(256)
        whole[f"damaged, {number}"] = bytes(damaged)
    for name, added in _metadata().items():
        whole[f"metadata: {name}"] = sound + added
    for at, (name, content) in enumerate(whole.items()):
        (folder / f"network-{at}.tflite").write_bytes(content)
        yield name, folder / f"network-{at}.tflite"


def _metadata() -> dict[str, bytes]:
    """Archives as SyNet and ultralytics put behind a file."""
    facts = {"producer": "synet 0", "task": "detect", "imgsz": [480, 640], "channels": 1}
    told = {
        "names that are a number": {"names": 5},
        "names of numbers": {"names": [1, [2], {}]},
        "names with escapes": {"names": ESCAPES},
        "image size of text": {"imgsz": "many"},
        "image size without end": {"imgsz": [10**9, 10**9]},
        "strides of zero": {"strides": [0, 0]},
        "strides of text": {"strides": "abc"},
        "task with an escape": {"task": ESCAPES[0]},
        "task that is a list": {"task": ["detect"]},
        "channels of text": {"channels": "\x1b[2J"},
        "channels without end": {"channels": 10**12},
        "producer with an escape": {"producer": ESCAPES[0]},
        "chip that is a path": {"chip": "../../../../etc/passwd"},
        "keypoints without end": {"kpt_shape": [10**9, 3]},
    }
    found = {name: _zip(json.dumps(facts | each).encode()) for name, each in told.items()}
    encrypted = bytearray(_zip(json.dumps(facts).encode()))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(mark) + at] |= 1
    unknown = bytearray(_zip(json.dumps(facts).encode()))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        unknown[unknown.index(mark) + at] = 99
    broken = bytearray(_zip(json.dumps(facts | {"names": ["a"] * 999}).encode()))
    broken[60:70] = b"\xff" * 10
    return found | {
        "encrypted": bytes(encrypted),
        "unknown compression": bytes(unknown),
        "bad zlib": bytes(broken),
        "deep JSON": _zip(b"[" * 200_000 + b"]" * 200_000),
        "deep JSON in a name": _zip(b'{"names": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"),
        "JSON that is a list": _zip(b"[1, 2]"),
        "JSON of NaN": _zip(b'{"imgsz": [NaN, Infinity]}'),
        "JSON of a long number": _zip(b'{"imgsz": ' + b"9" * 100_000 + b"}"),
        "no JSON": _zip(b"\xff\xfe\x00"),
        "three gigabytes": _zeros("metadata.json", 3 << 30),
        "three gigabytes beside it": _zeros("temp.meta", 3 << 30),
        "a hundred thousand members": _many(),
        "Python literal": _zip(b"{'names': __import__('os').system('x')}", "temp.meta"),
        "path that climbs": _zip(b"x", "../../../../tmp/synet-stranger"),
        "names of a million": _zip(json.dumps(facts | {"names": ["a"] * 1_000_000}).encode()),
    }


def _zip(content: bytes, name: str = "metadata.json") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(name, content)
    return stream.getvalue()


def _zeros(name: str, size: int) -> bytes:
    """A member of so many zeros, deflated without having them: one block is repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    first = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    body = first + again * ((size >> 20) - 1) + deflate.flush()
    title = name.encode()
    sizes = struct.pack("<LLL", 0, len(body), size)
    local = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0" + sizes + struct.pack("<HH", len(title), 0)
    entry = b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0" + sizes
    entry += struct.pack("<HHHHHLL", len(title), 0, 0, 0, 0, 0, 0) + title
    before = local + title + body
    end = struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(before), 0)
    return before + entry + b"PK\x05\x06" + end


def _many() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        for number in range(20_000):
            out.writestr(f"{number}", b"")
    return stream.getvalue()


# ----------------------------------------------------------------------- .keras, .h5, .onnx


def write_others(folder: Path, canary: Path) -> Iterator[tuple[str, Path]]:
    """Files of other formats that may carry code, or lead elsewhere."""
    marshalled = _lambda(canary)
    configs = {
        "Lambda": _keras_config(_layer("Lambda", function=marshalled)),
        "Lambda in a model": _keras_config(
            _layer("Functional", layers=[_layer("Lambda", function=marshalled)])
        ),
        "function of os": _keras_config(
            _layer(
                "Lambda", function={"module": "os", "class_name": "function", "config": "system"}
            )
        ),
        "class of builtins": {
            "module": "builtins",
            "class_name": "exec",
            "config": f"open({str(canary)!r}, 'w')",
            "registered_name": None,
        },
        "class of os": {
            "module": "os",
            "class_name": "system",
            "config": {"command": f"touch {canary}"},
            "registered_name": None,
        },
        "wrapper of a call": _keras_config(
            _layer("Wrapper", layer={"module": "os", "class_name": "system", "config": {}})
        ),
        "deep": json.loads("[" * 500 + "]" * 500),
        "a number": 5,
        "widths without end": _keras_config(_layer("Dense", units=10**12)),
    }
    for at, (name, config) in enumerate(configs.items()):
        file = folder / f"network-{at}.keras"
        with zipfile.ZipFile(file, "w") as out:
            out.writestr("metadata.json", '{"keras_version": "3.5.0", "date_saved": "x"}')
            out.writestr("config.json", json.dumps(config))
            out.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
        yield f"keras: {name}", file
    for name, content in {
        "empty": b"",
        "noise": bytes(range(256)),
        "zip of nothing": _zip(b"", "x"),
        "deep JSON": _zip(b"[" * 200_000, "config.json"),
        "three gigabytes": _zeros("config.json", 3 << 30),
        "pickle": pickle.dumps(Runs(exec, f"open({str(canary)!r}, 'w')")),
    }.items():
        for suffix in ("keras", "h5", "onnx"):
            file = folder / f"{name.replace(' ', '-')}.{suffix}"
            file.write_bytes(content)
            yield f"{suffix}: {name}", file
    yield "onnx: data outside its folder", _onnx(folder / "outside.onnx", "../../../../etc/passwd")
    yield "onnx: data of a device", _onnx(folder / "device.onnx", "/dev/zero")
    yield "onnx: data of a link", _onnx(folder / "link.onnx", "link.bin")
    (folder / "link.bin").symlink_to("/etc/passwd")


def _layer(kind: str, **config: object) -> dict:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "registered_name": None,
        "config": {"name": "a", **config},
    }


def _keras_config(layer: dict) -> dict:
    first = _layer("InputLayer", batch_shape=[1, 8, 8, 3], dtype="float32")
    return {
        "module": "keras",
        "class_name": "Sequential",
        "registered_name": None,
        "config": {"name": "s", "trainable": True, "layers": [first, layer]},
    }


def _lambda(canary: Path) -> dict:
    import base64
    import marshal

    code = compile(f"lambda x: open({str(canary)!r}, 'w')", "<lambda>", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    return {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}


def _field(number: int, content: bytes | int) -> bytes:
    """One of a protobuf message."""
    if isinstance(content, int):
        return bytes([number << 3]) + _varint(content)
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    more = bytearray()
    while value > 127:
        more.append(value & 127 | 128)
        value >>= 7
    return bytes([*more, value])


def _onnx(file: Path, place: str) -> Path:
    """A convolution whose weights lie in another file."""
    location = _field(1, b"location") + _field(2, place.encode())
    length = _field(1, b"length") + _field(2, b"1000000000000")
    weight = b"".join(_field(1, side) for side in (8, 3, 3, 3)) + _field(2, 1) + _field(8, b"w")
    weight += _field(13, location) + _field(13, length) + _field(14, 1)

    def value(name: bytes, *sides: int) -> bytes:
        shape = b"".join(_field(1, _field(1, side)) for side in sides)
        return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))

    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(3, b"conv")
    node += _field(4, b"Conv")
    graph = _field(1, node) + _field(2, b"g") + _field(5, weight)
    graph += _field(11, value(b"x", 1, 3, 8, 8)) + _field(12, value(b"y", 1, 8, 6, 6))
    file.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 17)))
    return file


# ------------------------------------------------------------- images, labels, predictions


def write_images(folder: Path, canary: Path) -> Iterator[tuple[str, Path]]:
    """What is called an image."""
    np.save(folder / "objects.npy", np.array([Runs(open, str(canary), "w")], dtype=object))
    (folder / "objects.npy").rename(folder / "objects.png")
    yield "numpy's objects", folder / "objects.png"
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://example.invalid/a"/></svg>'
    png = _png(60_000, 60_000)
    whole = {
        "empty.png": b"",
        "noise.jpg": bytes(range(256)) * 4,
        "cut.png": png[:40],
        "huge.png": png,
        "wide.png": _png(2_000_000_000, 1),
        "flat.png": _png(0, 0),
        "drawing.jpg": svg.encode(),
        "header.jpg": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\x00\x02\x11\x00",
        "huge.bmp": b"BM"
        + struct.pack(
            "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 65_000, 65_000, 1, 24, 0, 0, 0, 0, 0, 0
        ),
        "pickle.png": pickle.dumps(Runs(exec, f"open({str(canary)!r}, 'w')")),
    }
    for name, content in whole.items():
        (folder / name).write_bytes(content)
        yield name, folder / name
    (folder / "\x1b[2Jgone.png").write_bytes(b"no image")
    yield "name with an escape", folder / "\x1b[2Jgone.png"
    (folder / "zero.png").symlink_to("/dev/zero")
    yield "device", folder / "zero.png"


def _png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, of a few bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


LABELS = {
    "NaN": "0 nan nan nan nan",
    "infinite": "0 inf inf inf inf",
    "huge": "0 1e308 1e308 1e308 1e308",
    "negative class": "-1 0.5 0.5 0.1 0.1",
    "far class": "99999999999999999999999 0.5 0.5 0.1 0.1",
    "class with a fraction": "0.5 0.5 0.5 0.1 0.1",
    "escape": "0 \x1b[2J 0.5 0.5 0.5",
    "words": "person 0.5 0.5 0.1 0.1",
    "long number": f"0 {'9' * 1_000_000} 0.5 0.1 0.1",
    "long word": "x" * 1_000_000,
    "two columns": "0 0.5",
    "a million columns": "0 " + "0.5 " * 1_000_001,
    "zero bytes": "\0" * 1000,
    "no text": "\udcff\udcfe",
    "code": "__import__('os') 0.5 0.5 0.1 0.1",
}


def write_labels(folder: Path, image: Path) -> Iterator[tuple[str, Path]]:
    """Data sets of one sound image each, whose label file is a stranger's."""
    for at, (name, line) in enumerate(LABELS.items()):
        place = folder / f"set-{at}"
        _data_set(place, image)
        (place / "labels" / "0.txt").write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")
        yield name, place / "data.yaml"
    many = folder / "many"
    _data_set(many, image)
    (many / "labels" / "0.txt").write_text("0 0.5 0.5 0.1 0.1\n" * 300_000 + "0 nan 0 0 0\n")
    yield "three hundred thousand lines", many / "data.yaml"
    device = folder / "device"
    _data_set(device, image)
    (device / "labels" / "0.txt").symlink_to("/dev/zero")
    yield "device", device / "data.yaml"


def _data_set(place: Path, image: Path) -> None:
    for part in ("images", "labels"):
        (place / part).mkdir(parents=True)
    (place / "images" / f"0{image.suffix}").write_bytes(image.read_bytes())
    content = {"path": str(place), "train": "images", "val": "images", "names": ["circle", "b"]}
    (place / "data.yaml").write_text(yaml.safe_dump(content))


def write_predictions(folder: Path, stem: str) -> Iterator[tuple[str, Path]]:
    """Folders as YOLO's --save-txt makes them, for an image of that name."""
    for at, (name, line) in enumerate(LABELS.items()):
        place = folder / f"predictions-{at}"
        place.mkdir()
        (place / f"{stem}.txt").write_bytes(line.encode("utf-8", "surrogateescape") + b" 0.9\n")
        yield name, place
