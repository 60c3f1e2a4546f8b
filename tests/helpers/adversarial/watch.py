"""What a command does with a stranger's file: nothing but read it and say so in a line."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
MOST_BYTES, MOST_SECONDS, PATIENCE = 1 << 30, 10, 60
LONGEST = 5000  # letters of a line
# a progress bar; what is done before that takes a while; what decoders say
BESIDE = re.compile(r" \d+% |^exporting |^libpng |^\[ *WARN|^Corrupt JPEG")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Job:
    """A way to open a file (`worker.WAYS`), and whether that may succeed."""

    name: str
    way: str
    arguments: tuple[str, ...]
    may_pass: bool = False
    sound: tuple[str, ...] = ()  # the same of a sound file, which a process does before the first


@dataclass
class Workers:
    """A process that does one job after the other; where one ends it, another goes on."""

    folder: Path
    strangers: Path
    patched: str = ""
    modules: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)  # in the folder of each job
    _warm: set[tuple[str, ...]] = field(default_factory=set, init=False)
    _process: subprocess.Popen | None = field(default=None, init=False)

    def do(self, job: Job) -> dict[str, Any]:
        """What the job did; its status is None where it ended the process or never ended."""
        if self._process is None:
            self._process = self._start()
        if job.sound and job.sound not in self._warm:
            if not self._told(job.way, job.sound, 10 * PATIENCE):
                self._end()
                raise RuntimeError(f"{' '.join(job.sound)}: does not end with a sound file")
            self._warm.add(job.sound)
        if line := self._told(job.way, job.arguments, PATIENCE):
            return json.loads(line)
        reason = self._end()
        return {"status": None, "found": [reason], "bytes": 0, "seconds": 0, "out": "", "err": ""}

    def _told(self, way: str, arguments: tuple[str, ...], patience: float) -> bytes:
        """What the process tells of a job; nothing where it has ended, or takes too long."""
        process = self._process
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            for name, text in self.files.items():
                Path(folder, name).write_text(text)
            order = {"way": way, "arguments": arguments, "folder": folder}
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            told = select.select([process.stdout], [], [], patience)[0]
            return process.stdout.readline() if told else b""

    def _end(self) -> str:
        """Let go of a process that tells nothing; why it does not."""
        process, self._process = self._process, None
        self._warm.clear()
        try:
            return f"ended the process: {process.wait(timeout=1)}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "does not end"

    def _start(self) -> subprocess.Popen:
        home = self.folder / "home"
        fonts = home / "Ultralytics"  # a fork fetches them for any data set, where they lack
        fonts.mkdir(parents=True, exist_ok=True)
        for name in ("Arial.ttf", "Arial.Unicode.ttf"):
            (fonts / name).touch()
            (home / name).touch()
        options = {"strangers": str(self.strangers), "patched": self.patched}
        options["modules"] = self.modules
        process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("SYNET_")}
            | {"TMPDIR": str(home), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
            | {"YOLO_CONFIG_DIR": str(home), "YOLOV5_CONFIG_DIR": str(home)}
            | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        process.stdout.readline()  # it has imported everything
        return process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.kill()
            self._process.wait()


@contextmanager
def workers(*places: Path, **options: Any) -> Iterator[Workers]:
    """`Workers`, for a block."""
    made = Workers(*places, **options)
    try:
        yield made
    finally:
        made.close()


def faults(job: Job, told: dict[str, Any]) -> Iterator[str]:
    """What is wrong with what a job did."""
    yield from told["found"]
    if told["bytes"] > MOST_BYTES:
        yield f"took {told['bytes'] >> 20} MiB"
    if told["seconds"] > MOST_SECONDS:
        yield f"took {told['seconds']:.0f} s"
    if told["status"] is None or job.way not in ("synet", "yolo"):
        return  # what a fork says is the fork's
    if job.way == "yolo":
        last = "".join([line for line in told["err"].splitlines() if line.strip()][-1:])
        plain = last.startswith("synet: ") and told["status"] in (1, 2, 3)
        if told["status"] and not (job.may_pass and plain):
            yield f"status {told['status']}, said last: {last[:300]}"
        return
    if found := CONTROL.search(told["out"] + told["err"].replace("\r", "")):
        yield f"printed {found[0]!r}"
    lines = [line for line in told["err"].splitlines() if line.strip()]
    if told["status"] == 2 or told["status"] == 3 and lines:  # else 3 is a verdict, with its table
        lines = [line for line in lines if not BESIDE.search(line)]
        if len(lines) != 1 or not lines[0].startswith("synet: "):
            yield f"said {len(lines)} lines: {' / '.join(lines)[-300:]}"
        elif len(lines[0]) > LONGEST:
            yield f"said a line of {len(lines[0])} letters"
    elif not job.may_pass or told["status"] not in (0, 1, 3) or "Traceback" in told["err"]:
        yield f"status {told['status']}: {' / '.join(lines[-1:])[:300] or 'no line'}"


def all_faults(jobs: Iterable[Job], workers: Workers) -> list[str]:
    """What is wrong with all of `jobs`, and with what they left among the strangers' files."""
    before = _listing(workers.strangers)
    found = []
    for job in jobs:
        wrong = list(faults(job, workers.do(job)))
        after = _listing(workers.strangers)
        wrong += [f"changed {name}" for name in {*before.items()} ^ {*after.items()}]
        before = after
        found += [f"{job.name}, {' '.join(job.arguments[:1])}: {each}" for each in wrong]
    return found


def _listing(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if not path.is_dir() and path.suffix != ".cache")
    return {str(path): path.lstat().st_mtime_ns for path in files}
