"""Packages that only some commands need, and that a small installation does without."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from synet.errors import SynetError


def load(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of a package that an extra of SyNet brings.

    Parameters
    ----------
    module
        Its dotted name.
    extra
        The extra, as in ``pip install 'synet[report]'``.
    purpose
        What it is needed for: the subject of the message.

    Raises
    ------
    SynetError
        The package is not installed.

    >>> load("nowhere.at_all", "report", "drawing curves")
    Traceback (most recent call last):
    synet.errors.SynetError: drawing curves needs nowhere: pip install 'synet[report]'
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise  # it is there, and lacks something itself
        raise SynetError(f"{purpose} needs {package}: pip install 'synet[{extra}]'") from None
