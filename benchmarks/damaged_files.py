"""Damaged and hostile files for `fuzz.py`, each kind made from a sound one.

Bits are turned, parts cut off, swapped or doubled, values put out of range: in the bytes, and in
what the format makes of them.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

YAML = """
synet: {chip: katana, image_shape: [64, 96]}
nc: 2
ch: 1
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]]
backbone: [[-1, 1, Grayscale, []], [-1, 1, Stem, [8]], [-1, 1, Conv, [16, 3, 2]],
  [-1, 1, InvertedResidual, [16, 2, 2]]]
head: [[-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, Head, [16]],
  [[6, 3], 1, Detect, [nc, anchors]]]
"""
ODD = [None, -1, 0, 1, 2**31, -(2**31), 2**63, 10**30, float("nan"), float("inf"), 1.5, True, ""]
ODD += ["a", "\x1b[31mred\r\n\u202e", "x" * 10_000, [], {}, [[]], [0, 0], ["a"], b"\xff", "../x"]
NUMBERS = [-1, 0, 1, 2, 3, 7, 16, 100, 1000, 40_000, 65_536, 2**30, 2**31 - 1, -(2**31)]


@dataclass
class Sound:
    """The files that all others are made from, in a folder."""

    folder: Path

    def make(self) -> None:
        """Write them: an untrained model in every format, and two images to run it on."""
        import cv2
        import torch
        import yaml

        from synet.export.convert import to_keras
        from synet.export.tensorflow import to_float
        from synet.models.get_model import get_model
        from synet.quantize import quantize_model

        (self.folder / "tiny.yaml").write_text(YAML)
        network = get_model(self.folder / "tiny.yaml")
        torch.save({"epoch": 1, "model": network}, self.folder / "tiny.pt")
        made = to_keras(network, (64, 96), 1)
        made.save(self.folder / "tiny.keras")
        (self.folder / "float.tflite").write_bytes(to_float(made))
        quantize_model(
            self.folder / "tiny.pt", out_path=self.folder / "int8.tflite", random=True, force=True
        )
        for name in ("images", "labels"):
            (self.folder / name).mkdir()
        for at in range(2):
            pixels = np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8)
            cv2.imwrite(str(self.folder / f"images/{at}.png"), pixels)
            (self.folder / f"labels/{at}.txt").write_text(f"{at} 0.5 0.5 0.5 0.5\n")
        _onnx(self.folder / "tiny.onnx")
        shutil.copy(self.folder / "tiny.keras", self.folder / "tiny.h5")
        data = {"path": str(self.folder), "names": ["0", "1"]}
        data |= dict.fromkeys(("train", "val", "test"), "images")
        (self.folder / "data.yaml").write_text(yaml.safe_dump(data))

    def bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def _onnx(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    weights = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "conv.weight")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, None)
    node = helper.make_node("Conv", ["image", "conv.weight"], ["found"], kernel_shape=[3, 3])
    save(helper.make_model(helper.make_graph([node], "g", [image], [found], [weights])), path)


# ------------------------------------------------------------------------------- the damage


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """A file with some bytes turned, cut off, swapped, doubled or set to an extreme."""
    data = bytearray(content)
    way = rng.choice(["flip", "cut", "swap", "word", "zero", "double"])
    if way == "cut":
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at, size = rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64])
        if way == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif way == "swap":
            other = rng.randrange(len(data))
            data[at : at + size], data[other : other + size] = (
                *(data[other : other + size], data[at : at + size]),
            )
        elif way == "word":
            value = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.getrandbits(32)])
            data[at & ~3 : (at & ~3) + 4] = struct.pack("<I", value)
        elif way == "zero":
            data[at : at + size] = bytes(len(data[at : at + size]))
        else:
            data[at:at] = data[at : at + size]
    return bytes(data)


def damage(rng: random.Random, value: Any, depth: int = 0) -> Any:
    """A value with one part, however deep in it, left out, doubled or put out of range."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size < 100_000 else value
    inside = vars(value) if hasattr(value, "__dict__") else value
    if depth < 12 and rng.random() < 0.9 and isinstance(inside, dict | list) and inside:
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        key = rng.choice(list(keys))
        way = rng.choice(["in", "in", "in", "in", "drop", "double", "odd"])
        if way == "in":
            inside[key] = damage(rng, inside[key], depth + 1)
        elif way == "drop":
            inside.pop(key)
        elif way == "double" and isinstance(inside, list):
            inside.insert(key, copy.copy(inside[key]))
        else:
            inside[key] = rng.choice(ODD)
        return value
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-40])
    if isinstance(value, int):
        return rng.choice([*NUMBERS, value + 1, value - 1])
    return rng.choice(ODD)


def tflites(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """Half of them hurt in their bytes, half in what the schema makes of them."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    while True:
        content = sound.bytes(rng.choice(["int8.tflite", "int8.tflite", "float.tflite"]))
        yield content[:4] + b"TFL3" + damaged_bytes(rng, content)[8:]
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph, builder = model.subgraphs[0], flatbuffers.Builder()
        for _ in range(rng.choice([1, 1, 2, 4])):
            places = [graph, model, *graph.operators, *graph.tensors, *model.operatorCodes]
            damage(rng, rng.choice(places), 2)
        with contextlib.suppress(Exception):  # what cannot be packed is no file
            builder.Finish(model.Pack(builder), b"TFL3")
            yield bytes(builder.Output())


def metadatas(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """A sound model behind which lies an archive that is not."""
    content = sound.bytes("float.tflite")
    facts = {"names": ["0", "1"], "strides": [8, 16], "chip": "katana", "image_shape": [64, 96]}
    while True:
        changed = damage(rng, copy.deepcopy(facts) | {rng.choice([*facts]): rng.choice(ODD)})
        texts = [
            json.dumps(changed, default=str).encode(),
            damaged_bytes(rng, json.dumps(facts).encode()),
            *(b"[" * 10**6, b'{"names": ["\\ud800"]}', b'{"names": 1' + b"0" * 5000 + b"}", b"[]"),
        ]
        stream = io.BytesIO(content)
        way = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
        with zipfile.ZipFile(stream, "a", way) as archive, contextlib.suppress(UserWarning):
            archive.writestr("metadata.json", rng.choice(texts))
            if rng.random() < 0.2:
                archive.writestr(rng.choice(["../../x", "b.json"]), bytes(10**7))
        made = stream.getvalue()
        tail = damaged_bytes(rng, made[len(content) :]) if rng.random() < 0.5 else b""
        yield content + tail if tail else made


def checkpoints(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """Half of them hurt in their bytes, half in the objects that are pickled."""
    import torch

    from synet.models.get_model import get_model

    network = get_model(sound.folder / "tiny.yaml")
    while True:
        yield damaged_bytes(rng, sound.bytes("tiny.pt"))
        content, stream = {"epoch": 1, "model": copy.deepcopy(network)}, io.BytesIO()
        parts = list(content["model"].modules())
        for _ in range(rng.choice([1, 1, 2, 4])):
            part = rng.choice([content, *parts])
            key = rng.choice(list(part if isinstance(part, dict) else vars(part)))
            inside = part if isinstance(part, dict) else vars(part)
            inside[key] = damage(rng, inside[key], 10) if rng.random() < 0.7 else rng.choice(parts)
        with contextlib.suppress(Exception):
            torch.save(content, stream)
            yield stream.getvalue()


def keras_files(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """Archives with a part that is damaged, huge, or code."""
    with zipfile.ZipFile(sound.folder / "tiny.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    code = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "os.system"}}
    code |= {"registered_name": None}
    while True:
        yield damaged_bytes(rng, sound.bytes("tiny.keras"))
        config, changed = json.loads(files["config.json"]), dict(files)
        way = rng.randrange(4)
        if way == 0:
            config["config"]["layers"].append(code | {"module": rng.choice(["keras", "os", None])})
        elif way == 1:
            config = damage(rng, config)
        changed["config.json"] = json.dumps(config, default=str).encode()
        if way == 2:
            name = rng.choice([*files])
            changed[name] = damaged_bytes(rng, files[name])
        elif way == 3:
            changed[rng.choice([*files])] = rng.choice([b"", bytes(10**8), b"[" * 10**6])
        yield _zipped(changed)


def _zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def onnxes(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """Damaged ones, and those with weights that lie in files outside of the folder."""
    import onnx
    from onnx import TensorProto

    model = onnx.load_model_from_string(sound.bytes("tiny.onnx"))
    places = ["/etc/passwd", "../../etc/passwd", "link", "/dev/zero", "a\0b", "\x1b[31m", "x" * 999]
    while True:
        yield damaged_bytes(rng, model.SerializeToString())
        other = onnx.ModelProto()
        other.CopyFrom(model)
        tensor = other.graph.initializer[0]
        if rng.random() < 0.5:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            told = {"location": rng.choice(places), "offset": rng.choice(["0", "-1", "a", "9" * 9])}
            for key, value in told.items():
                tensor.external_data.add(key=key, value=value)
        else:
            tensor.dims[rng.randrange(4)] = rng.choice([-1, 0, 2**40, 2**62])
            tensor.data_type = rng.choice([0, 1, 8, 16, 23, 99])
        yield other.SerializeToString()


def yamls(rng: random.Random, sound: Sound) -> Iterator[bytes]:
    """Aliases that grow without end, depth without end, and rows that are none."""
    import yaml

    while True:
        names = [f"a{n}" for n in range(rng.choice([9, 30, 100]))]
        lines = [f"{names[0]}: &{names[0]} [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
        lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
        yield "\n".join(
            [*lines, f"{rng.choice(['nc', 'names', 'backbone'])}: *{names[-1]}"]
        ).encode()
        yield rng.choice([b"[" * 10**5, b"a: " * 10**4, b"nc: &a [*a]", b"\x00", b"\xff\xfe"])
        yield yaml.safe_dump(damage(rng, yaml.safe_load(YAML))).encode()
        yield damaged_bytes(rng, YAML.encode())
