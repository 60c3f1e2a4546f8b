"""Our docstrings say in words what a function returns; the type stands in its annotation.

The parser of numpydoc takes the first line of a ``Returns`` section for the type, so the annotation
is put there while the site is built.
"""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

import griffe

RETURNS = re.compile(r"^Returns\n-+\n(.+?)(?=\n\n\w+\n---|\Z)", re.MULTILINE | re.DOTALL)


class ReturnsInWords(griffe.Extension):
    """Gives the words of a ``Returns`` section the type that the signature has."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:  # noqa: D102
        if func.docstring and func.returns is not None:
            func.docstring.value = RETURNS.sub(
                lambda found: f"Returns\n-------\n{func.returns}\n{indent(found[1], '    ')}",
                func.docstring.value,
            )
