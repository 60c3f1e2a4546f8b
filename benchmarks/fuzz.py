"""Damaged and hostile files through every command that opens them: what becomes of the process.

    python benchmarks/fuzz.py [--seed 0] [--kinds tflite,pt,...] [--share 1.0] [--out TABLE.md]

Each kind of file is made from a sound one with a random generator: bits are turned, parts cut off,
swapped or doubled, values put out of range. A worker process runs the commands on it, one after the
other; one that dies or does not come back in time is replaced. A traceback is an error that
is no `SynetError` and none of click's, or one that is told in more than one plain line.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import random
import resource
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HANG = 60  # seconds after which a command is taken to hang
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

ON_TFLITE = (
    *("summary FILE", "sparsity FILE -v", "profile FILE --chip katana", "latency FILE --runs 1"),
    *("predict FILE IMAGE --out OUT", "evaluate FILE --data DATA", "compare FLOAT FILE IMAGE"),
    *("compare FILE IMAGE --dump NEW", "report FILE --data DATA --out NEW.html"),
)
ON_PT = (
    *("summary FILE", "sparsity FILE", "profile FILE", "evaluate FILE --data DATA"),
    *("predict FILE IMAGE --out OUT", "quantize --weights FILE --out NEW.tflite"),
)
ON_OTHERS = ("summary FILE", "sparsity FILE")
ON_YAML = (*ON_OTHERS, "profile FILE", "zoo create FILE -o NEW.yaml", "evaluate FLOAT --data FILE")


@dataclass
class Sound:
    """The files that all others are made from, in a folder."""

    folder: Path

    def make(self) -> None:
        """Write them: an untrained model in every format, and two images to run it on."""
        import cv2
        import torch
        import yaml

        from synet.export.tensorflow import to_float
        from synet.models import get_model
        from synet.quantize import quantize_model, to_keras

        (self.folder / "tiny.yaml").write_text(YAML)
        network = get_model(self.folder / "tiny.yaml")
        torch.save({"epoch": 1, "model": network}, self.folder / "tiny.pt")
        made = to_keras(network, (64, 96), 1)
        made.save(self.folder / "tiny.keras")
        (self.folder / "float.tflite").write_bytes(to_float(made))
        quantize_model(self.folder / "tiny.pt", out_path=self.folder / "int8.tflite", force=True)
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

    from synet.checkpoint import read

    while True:
        yield damaged_bytes(rng, sound.bytes("tiny.pt"))
        content, stream = read(sound.folder / "tiny.pt"), io.BytesIO()
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


# ------------------------------------------------------------------------------ the running


@dataclass
class Kind:
    """Files of a kind: how many, what they are called, what makes them, what opens them."""

    count: int
    sound: str
    made: Callable[[random.Random, Sound], Iterator[bytes]]
    commands: tuple[str, ...]


KINDS = {
    "tflite": Kind(1000, "int8.tflite", tflites, ON_TFLITE),
    "vela": Kind(50, "int8.tflite", tflites, ("profile FILE --chip sabre",)),
    "pt": Kind(300, "tiny.pt", checkpoints, ON_PT),
    "metadata": Kind(100, "int8.tflite", metadatas, ON_TFLITE),
    "keras": Kind(100, "tiny.keras", keras_files, ON_OTHERS),
    "h5": Kind(20, "tiny.h5", keras_files, ON_OTHERS),
    "onnx": Kind(100, "tiny.onnx", onnxes, ON_OTHERS),
    "yaml": Kind(100, "tiny.yaml", yamls, ON_YAML),
}


@dataclass
class Tally:
    """What became of the files of a kind."""

    files: int = 0
    fine: int = 0  # commands that ran
    refused: int = 0  # with a line
    tracebacks: int = 0
    crashes: int = 0
    hangs: int = 0
    mib: int = 0
    slowest: float = 0.0
    worst: list[str] = field(default_factory=list)

    def row(self, kind: str) -> str:
        cells = (kind, self.files, self.fine, self.refused, self.tracebacks, self.crashes)
        return " | ".join(map(str, ("", *cells, self.hangs, self.mib, f"{self.slowest:.1f}", "")))


class Worker:
    """A process that runs commands, until it dies or hangs; `warm` is run first, and not counted.

    What it imports then is not held against the files that follow.
    """

    def __init__(self, folder: Path, warm: list[list[str]]) -> None:
        self._folder, self._warm = folder, warm
        self._process: subprocess.Popen | None = None
        self._mib = 0

    def run(self, arguments: list[str]) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), "--worker"],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._mib = max(self._answer(each)["mib"] for each in self._warm)
        answer = self._answer(arguments)
        return answer | {"mib": answer["mib"] - self._mib}

    def _answer(self, arguments: list[str]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], HANG)[0]:
            self.end()
            return {"became": "hangs", "told": "", "seconds": HANG, "mib": 0}
        line = self._process.stdout.readline()
        if not line:
            told, self._process = f"status {self._process.wait()}", None
            return {"became": "crashes", "told": told, "seconds": 0, "mib": 0}
        return json.loads(line)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def work() -> None:
    """In the worker: a command a line in, what became of it out."""
    import click

    from synet.cli import main as synet

    answers = sys.stdout
    for line in sys.stdin:
        errors, start = io.StringIO(), time.perf_counter()
        became, told = "fine", ""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            try:
                if synet(json.loads(line), standalone_mode=False) not in (None, 0):
                    became = "refused"
            except (SystemExit, click.ClickException):
                became = "refused"
            except BaseException:
                became, told = "tracebacks", traceback.format_exc()
        text = errors.getvalue()
        if became == "refused" and not all(c.isprintable() or c == "\n" for c in text):
            became, told = "tracebacks", repr(text)
        if became == "refused" and sum(each.startswith("synet: ") for each in text.split("\n")) > 1:
            became, told = "tracebacks", text
        usage = [resource.getrusage(who).ru_maxrss for who in (0, resource.RUSAGE_CHILDREN)]
        seconds = time.perf_counter() - start
        answer = {"became": became, "told": told, "seconds": seconds, "mib": max(usage) >> 10}
        print(json.dumps(answer), file=answers, flush=True)


def run(kind: str, sound: Sound, seed: int, share: float, keep: Path | None) -> Tally:
    """Make the files of a kind, one after the other, and run each through its commands."""
    rng, tally, told = random.Random(f"{seed} {kind}"), Tally(), KINDS[kind]
    made, suffix = told.made(rng, sound), Path(told.sound).suffix
    with tempfile.TemporaryDirectory() as folder:

        def words(command: str, file: Path, at: int = 0) -> list[str]:
            places = {
                **{"FILE": file, "FLOAT": sound.folder / "float.tflite", "OUT": f"{folder}/out"},
                **{"IMAGE": sound.folder / "images/0.png", "DATA": sound.folder / "data.yaml"},
                "NEW": f"{folder}/{file.stem}-{at}",
            }
            return [
                f"{places.get(word.split('.')[0], word)}{word[3:] if word[:4] == 'NEW.' else ''}"
                for word in command.split()
            ]

        warm = [words(command, sound.folder / told.sound) for command in told.commands]
        worker = Worker(Path(folder), warm)
        for number in range(max(1, round(told.count * share))):
            file = Path(folder, f"{number}{suffix}")
            file.write_bytes(next(made))
            tally.files += 1
            for at, command in enumerate(told.commands):
                answer = worker.run(words(command, file, at))
                became = answer["became"]
                setattr(tally, became, getattr(tally, became) + 1)
                tally.mib = max(tally.mib, answer["mib"])
                tally.slowest = max(tally.slowest, answer["seconds"])
                if became not in ("fine", "refused"):
                    tally.worst.append(f"{file.name}: {command}: {answer['told']}")
                    if keep:
                        shutil.copy(file, keep / f"{kind}-{file.name}")
            file.unlink()
        worker.end()
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas between them")
    parser.add_argument("--share", type=float, default=1.0, help="of the number of files")
    parser.add_argument("--out", type=Path, help="write the table to this file, too")
    parser.add_argument("--keep", type=Path, help="folder for files that no command may end on")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    lines = [
        "| kind | files | ran | refused | tracebacks | crashes | hangs | peak MiB | slowest s |"
    ]
    lines += ["| --- " * 9 + "|"]
    with tempfile.TemporaryDirectory() as folder:
        sound = Sound(Path(folder))
        sound.make()
        for kind in options.kinds.split(","):
            tally = run(kind, sound, options.seed, options.share, options.keep)
            lines.append(tally.row(kind).strip())
            print("\n".join(tally.worst), file=sys.stderr)
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    return None


if __name__ == "__main__":
    main()
