"""Standard output and error of this process, past Python's own streams too."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what Python and C++ code print into a file nobody reads.

    The converter prints hundreds of lines past Python's own streams, and Keras some into
    those, which a notebook has put elsewhere. A progress bar drawn meanwhile needs
    `user_stream`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as sink, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sink))
        stack.enter_context(contextlib.redirect_stderr(sink))
        for number in (1, 2):
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(sink.fileno(), number)
        yield


@contextlib.contextmanager
def user_stream() -> Iterator[TextIO]:
    """Standard error as it is now, whatever `quiet` does to it later."""
    with os.fdopen(os.dup(2), "w") as stream:
        yield stream
