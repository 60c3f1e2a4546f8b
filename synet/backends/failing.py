"""What is said of a YOLO that fails while a command of ours runs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from synet.system.errors import OF_THE_SYSTEM, SynetError, TrainingError
from synet.system.text import first_line, printable_lines


@contextmanager
def told_plainly(name: str, mistakes: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """End a failure within the block in one line; where the reason is unknown, below a traceback.

    Parameters
    ----------
    name
        Of the YOLO.
    mistakes
        What it raises for its user's mistakes.

    Raises
    ------
    SynetError
        One of those, or one of ours that the YOLO has wrapped in an error of its own.
    TrainingError
        Anything else failed, but for a full disk and its like.
    """
    try:
        yield
    except SynetError:
        raise
    except Exception as error:  # whatever a fork does with what it is given
        if isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
            raise
        cause = error.__cause__
        if isinstance(cause, SynetError):
            raise SynetError(first_line(cause)) from error
        if isinstance(error, mistakes) or isinstance(cause, mistakes):
            raise SynetError(first_line(error)) from error
        print(printable_lines("".join(traceback.format_exception(error))), file=sys.stderr)
        what = f"{type(error).__name__}: {first_line(error)}"
        raise TrainingError(
            f"{name} failed with {what}; where its model and data are in order, the traceback "
            f"above is for its author"
        ) from error
