"""A Python of our own that may come to grief: with little time and memory, and nothing to lose.

Libraries in C++ trust the files that they are given. What a damaged one does to such a process is
told in a line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

MEMORY = 2**30  # bytes
TOO_LONG = -getattr(signal, "SIGXCPU", 24)  # the status of a process whose time is up
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each takes memory of its own
PATIENCE = 6  # times as long as it may compute may it take, on a busy machine

# The parent's path, but nothing of the folder that it runs in or of its environment.
_START = "import sys; sys.path[:] = {path!r}; from synet.system.confined import limit; "
_START += "limit({seconds}); "


class Ended(Exception):
    """The process did not end as it should; the text says how."""


def command(code: str, seconds: int) -> list[str]:
    """The command that runs `code` for at most so many seconds of the processor.

    Arguments may follow.
    """
    path = [os.path.abspath(place) for place in sys.path]
    return [sys.executable, "-I", "-c", _START.format(path=path, seconds=seconds) + code]


def environment() -> dict[str, str]:
    """That of this process, for one with little memory."""
    return {**os.environ, **ONE_THREAD}


def run(code: str, seconds: int, given: bytes, *arguments: str) -> bytes:
    """What `code` writes to its standard output.

    Parameters
    ----------
    code
        Python.
    seconds
        How long it may compute.
    given
        What it finds on its standard input.
    arguments
        What it finds behind ``sys.argv[0]``.

    Raises
    ------
    Ended
        It crashes, fails, or takes too long.
    """
    try:
        ran = subprocess.run(
            [*command(code, seconds), *arguments],
            input=given,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE * seconds,
        )
        status = ran.returncode
    except subprocess.TimeoutExpired:
        status = TOO_LONG
    except OSError as error:
        raise Ended(f"Python does not start: {error}") from None
    if status == TOO_LONG:
        raise Ended(f"it takes longer than {seconds} s")
    if status:
        raise Ended(f"signal {-status}" if status < 0 else f"exit status {status}")
    return ran.stdout


def limit(seconds: int) -> None:
    """Have this process end where it takes more time or memory than it may."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_CPU, seconds),
    ):
        _, hard = resource.getrlimit(kind)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))
