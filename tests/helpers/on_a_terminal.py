"""What a script shows on a terminal of its own."""

from __future__ import annotations

import os
import sys

import pytest


def seen_on_a_terminal(script: str) -> str:
    """All that Python prints there, with the orders to the terminal."""
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    pid = os.fork()
    if not pid:
        for number in range(3):
            os.dup2(child, number)
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
        os.execve(sys.executable, [sys.executable, "-c", script], environment)
    os.close(child)
    seen = b""
    try:
        while part := os.read(parent, 4096):
            seen += part
    except OSError:  # how Linux tells that the other end is closed
        pass
    os.close(parent)
    assert os.waitpid(pid, 0)[1] == 0
    return seen.decode()
