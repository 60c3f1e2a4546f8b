"""Standard output and error of this process, past Python's own streams too."""

from __future__ import annotations

import contextlib
import logging
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
    stderr = sys.stderr
    with tempfile.TemporaryFile("w+", encoding="utf-8") as sink, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sink))
        stack.enter_context(contextlib.redirect_stderr(sink))
        for number in (1, 2):
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(sink.fileno(), number)
        stack.callback(_release, sink, stderr)
        yield


def _release(sink: TextIO, stream: TextIO) -> None:
    """Give handlers of logs that were made meanwhile, as tensorflow makes one, `stream`."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):  # loggerDict holds placeholders, too
            if vars(handler).get("stream") is sink:
                handler.setStream(stream)


@contextlib.contextmanager
def user_stream() -> Iterator[TextIO]:
    """Standard error as it is now, whatever `quiet` does to it later."""
    with os.fdopen(os.dup(2), "w") as stream:
        yield stream
