"""A file whose text is another's, with changes."""

from __future__ import annotations

from pathlib import Path


def write_changed(path: Path, text: str, *changes: tuple[str, str]) -> Path:
    """Write `text` with each old part made the new one; each must be there."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path
