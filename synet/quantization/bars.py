"""Bars that a file has to meet before it is written."""

from __future__ import annotations

from collections.abc import Sequence

from synet.system.errors import SynetError


class Bars:
    """What a file misses: an error, unless it is kept by force.

    Parameters
    ----------
    force
        Keep it, and tell what it misses.

    Attributes
    ----------
    missed
        So far, each in a line.
    """

    def __init__(self, force: bool) -> None:
        self.missed: list[str] = []
        self._force = force

    def hold(self, missed: Sequence[str], kind: type[SynetError]) -> None:
        """Raise an error of that kind if a bar was missed, or note it."""
        if missed and not self._force:
            more = f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""
            raise kind(f"{missed[0]}{more}; no file was written, --force keeps it")
        self.note(missed)

    def note(self, missed: Sequence[str]) -> None:
        """Tell of what is no bar for this file."""
        self.missed += missed
