"""Commands that are killed at an operation on the files of a folder, or find the disk full.

Run as a script, it imports what commands need, and then starts each from a copy of itself: that
is what makes thirty of them affordable. A job comes as a line of JSON on standard input.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MOVES = ("os.rename", "os.link", "os.symlink")  # the second of two paths comes to be
CHANGES = ("os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", *MOVES)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killer:
    """Counts operations on the files of a folder, and kills the process before one of them."""

    def __init__(self, folder: str, at: int) -> None:
        self.folder, self.at, self.count = os.path.realpath(folder), at, 0
        self.lock = threading.Lock()
        sys.addaudithook(self._see)

    def _see(self, event: str, told: tuple) -> None:
        writes = event == "open" and isinstance(told[2], int) and told[2] & WRITING
        if not writes and event not in CHANGES:
            return
        path = told[1] if event in MOVES else told[0]
        # what is told by a name alone is below a folder that shutil.rmtree has open
        if isinstance(path, int) or not self._is_inside(os.fsdecode(path)):
            return
        with self.lock:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def _is_inside(self, path: str) -> bool:
        return os.path.dirname(path) == "" or os.path.abspath(path).startswith(self.folder)


class Server:
    """Runs commands in a folder, each in a process of its own that has imported everything."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def run(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        at: int = 0,
        seconds: float = 0,
        room: int = 0,
    ) -> dict[str, Any]:
        """Run ``synet ARGUMENTS`` in `folder`; its status, how many operations, and what it said.

        It is killed before operation number `at`, or after `seconds`, if they are not 0. No file
        takes more than `room` bytes, if that is not 0: what goes beyond it cannot be written, as
        on a full disk.
        """
        job = {"arguments": [str(each) for each in arguments], "folder": str(folder)}
        job |= {"at": at, "seconds": seconds, "room": room}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@contextmanager
def server(*modules: str) -> Iterator[Server]:
    """A `Server`, for a block."""
    made = Server(*modules)
    try:
        yield made
    finally:
        made.close()


def _child(job: dict[str, Any], said: int, count: int) -> None:
    os.setpgid(0, 0)
    os.chdir(job["folder"])
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv = ["synet", *job["arguments"]]
    killer = Killer(job["folder"], job["at"])
    if job["room"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], resource.RLIM_INFINITY))
    try:
        status = importlib.import_module("synet.cli").main(job["arguments"], standalone_mode=False)
    except SystemExit as error:
        status = error.code
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(count, str(killer.count).encode())
    os._exit(status if isinstance(status, int) else 0)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    said, says = os.pipe()
    fcntl.fcntl(says, fcntl.F_SETPIPE_SZ, 1 << 20)  # read when it has ended
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _child(job, says, write)
        finally:
            os._exit(1)
    os.close(write)
    os.close(says)
    signal.signal(signal.SIGALRM, lambda *_: _kill(pid))
    signal.setitimer(signal.ITIMER_REAL, job["seconds"])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.setitimer(signal.ITIMER_REAL, 0)
    told = {"status": status, "operations": int(os.read(read, 20) or 0)}
    os.close(read)
    with os.fdopen(said, "rb") as file:
        return told | {"said": file.read().decode("utf-8", "replace")}


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Run jobs until there are none."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in ("synet.cli", *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
