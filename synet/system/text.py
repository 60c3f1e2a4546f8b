"""What a file says, made fit for a line that a person reads."""

from __future__ import annotations

from typing import Any


def shown(value: Any) -> str:
    """A value for a message: in one line, not too long, without control characters."""
    text = value if isinstance(value, str) else repr(value)[:1000]
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= 80 else f"{text[:80]}..."
