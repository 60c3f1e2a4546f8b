"""SyNet: train the YOLO you have, run it on an embedded chip."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from synet.system.text import in_one_line

__version__ = "0.1.0"
__all__ = ["as_keras", "askeras", "check", "get_model", "make_safe", "patch_custom", "unpatch"]

if TYPE_CHECKING:
    from synet.custom_patches import patch_custom, unpatch
    from synet.export.context import askeras
    from synet.export.context import askeras as as_keras
    from synet.models import get_model
    from synet.safe import check, make_safe

logging.getLogger("synet").addFilter(in_one_line)  # every module logs to this one

# Resolved when asked for, so that ``import synet`` loads neither torch nor anything of a YOLO.
_HOMES = {
    "as_keras": ("synet.export.context", "askeras"),
    "askeras": ("synet.export.context", "askeras"),
    "check": ("synet.safe", "check"),
    "get_model": ("synet.models", "get_model"),
    "make_safe": ("synet.safe", "make_safe"),
    "patch_custom": ("synet.custom_patches", "patch_custom"),
    "unpatch": ("synet.custom_patches", "unpatch"),
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'synet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
