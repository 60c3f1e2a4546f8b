"""What a file, or code that read it, says, fit for one line of a terminal."""

from __future__ import annotations


def told(error: Exception) -> str:
    """The first line of an error's text, or its name, without what a terminal would obey."""
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in line)[:300]
