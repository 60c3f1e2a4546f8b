"""Damaged and hostile files through every command that opens them: what becomes of the process.

    python benchmarks/fuzz.py [--seed 0] [--kinds tflite,pt,...] [--share 1.0] [--out TABLE.md]

Each kind of file is made from a sound one with a random generator: bits are turned, parts cut off,
swapped or doubled, values put out of range. A worker process runs the commands on it, one after the
other; one that dies or does not come back in time is replaced. A traceback is an error that is no
`SynetError` and none of click's, or one that is told in more than one plain line. The MiB are those
that damaged files take beyond a sound one, the seconds those of the slowest command.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damaged_files import (
    Sound,
    checkpoints,
    keras_files,
    metadatas,
    onnxes,
    tflites,
    yamls,
)

HANG = 60  # seconds after which a command is taken to hang
ON_TFLITE = (
    *("summary FILE", "sparsity FILE -v", "profile FILE --chip katana", "latency FILE --runs 1"),
    *("predict FILE IMAGE --out OUT", "evaluate FILE --data DATA", "compare FLOAT FILE IMAGE"),
    *("compare FILE IMAGE --dump NEW", "report FILE --data DATA --out NEW.html"),
)
ON_PT = (
    *("summary FILE", "sparsity FILE", "profile FILE", "evaluate FILE --data DATA"),
    *("predict FILE IMAGE --out OUT", "quantize FILE --data DATA --out NEW.tflite --force"),
)
ON_OTHERS = ("summary FILE", "sparsity FILE")
ON_YAML = (*ON_OTHERS, "profile FILE", "zoo create FILE -o NEW.yaml", "evaluate FLOAT --data FILE")


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
    """A process that runs commands, until it dies or hangs.

    `warm` are run first: the time and the memory that a sound file takes are not held against the
    damaged ones.
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
            for each in self._warm:
                answer = self._answer(each)
                if answer["became"] not in ("fine", "refused"):
                    raise SystemExit(f"the sound file: {' '.join(each)}: {answer['told']}")
                self._mib = max(self._mib, answer["mib"])
        answer = self._answer(arguments)
        return answer | {"mib": answer["mib"] - self._mib}

    def _answer(self, arguments: list[str]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        end, held = time.monotonic() + HANG, 0
        while not select.select([self._process.stdout], [], [], 0.05)[0]:
            held = max(held, _resident(self._process.pid))
            if time.monotonic() > end:
                self.end()
                return {"became": "hangs", "told": "", "seconds": HANG, "mib": held >> 20}
        line = self._process.stdout.readline()
        if not line:
            told, self._process = f"status {self._process.wait()}", None
            return {"became": "crashes", "told": told, "seconds": 0, "mib": held >> 20}
        return json.loads(line) | {"mib": max(held, _resident(self._process.pid)) >> 20}

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _resident(process: int) -> int:
    """Bytes that a process and those that it has started hold, as Linux tells it."""
    total = 0
    with contextlib.suppress(OSError):  # it may be gone
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            total += _resident(int(child))
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        total += pages * resource.getpagesize()
    return total


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
        answer = {"became": became, "told": told, "seconds": time.perf_counter() - start}
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
    parser.add_argument("--sound", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    if options.sound:
        return Sound(options.sound).make()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    heads = (
        "kind",
        "files",
        "ran",
        "refused",
        "tracebacks",
        "crashes",
        "hangs",
        "MiB more",
        "slowest",
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        sound = Sound(Path(folder))
        # in a process of its own: those that follow would be told to hold its memory
        subprocess.run([sys.executable, __file__, "--sound", folder], check=True)
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
