"""What is told of a repair, and how one of a library is made."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synet.patches.undo import Applied


@dataclass(frozen=True)
class Repair:
    """Something that is put right for old code.

    Parameters
    ----------
    name
        For people: ``np_trapz``.
    error
        What is seen without it.
    since
        The version that brought the error.
    """

    name: str
    error: str
    since: str


@dataclass(frozen=True)
class LibraryRepair(Repair):
    """A library put right: a name that old code uses and that is gone, or does something else.

    Parameters
    ----------
    needed
        Is the name missing or wrong in this process? Never where its library is not installed:
        SyNet does without Pillow and matplotlib.
    apply
        Puts it right, through an `Applied` that remembers what was there.
    """

    needed: Callable[[], bool]
    apply: Callable[[Applied], None]


def is_missing(module: str) -> bool:
    """Would the import of a module fail?"""
    if module in sys.modules:
        return sys.modules[module] is None  # its import has been forbidden
    return importlib.util.find_spec(module) is None
