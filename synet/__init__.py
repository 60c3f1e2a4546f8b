"""SyNet: train the YOLO you have, run it on an embedded chip."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from synet.system.text import in_one_line

__version__ = "0.1.0"
__all__ = [
    "as_keras",
    "askeras",
    "check",
    "compare_layers",
    "detect",
    "evaluate",
    "get_model",
    "load_predictor",
    "make_safe",
    "metrics",
    "patch_custom",
    "predict",
    "profile",
    "quantize_model",
    "summarize",
    "unpatch",
    "write_report",
]

if TYPE_CHECKING:
    from synet.compare import compare_layers
    from synet.custom_patches import patch_custom, unpatch
    from synet.evaluate import evaluate
    from synet.export.context import askeras
    from synet.export.context import askeras as as_keras
    from synet.metrics import metrics
    from synet.models import get_model
    from synet.predict import predict
    from synet.predictor import detect, load_predictor
    from synet.profile import profile
    from synet.quantize import quantize_model
    from synet.report import write_report
    from synet.safe import check, make_safe
    from synet.summary import summarize

logging.getLogger("synet").addFilter(in_one_line)  # every module logs to this one

# Resolved when asked for, so that ``import synet`` loads neither torch nor anything of a YOLO.
_HOMES = {
    "as_keras": ("synet.export.context", "askeras"),
    "askeras": ("synet.export.context", "askeras"),
    "check": ("synet.safe", "check"),
    "compare_layers": ("synet.compare", "compare_layers"),
    "detect": ("synet.predictor", "detect"),
    "evaluate": ("synet.evaluate", "evaluate"),
    "get_model": ("synet.models", "get_model"),
    "load_predictor": ("synet.predictor", "load_predictor"),
    "make_safe": ("synet.safe", "make_safe"),
    "metrics": ("synet.metrics", "metrics"),
    "patch_custom": ("synet.custom_patches", "patch_custom"),
    "predict": ("synet.predict", "predict"),
    "profile": ("synet.profile", "profile"),
    "quantize_model": ("synet.quantize", "quantize_model"),
    "summarize": ("synet.summary", "summarize"),
    "unpatch": ("synet.custom_patches", "unpatch"),
    "write_report": ("synet.report", "write_report"),
}


class _Face(ModuleType):
    """``synet.evaluate`` is the function, whether or not the module of its name was imported.

    Python would put the module in its place; ``from synet.evaluate import ...`` finds it anyway.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'synet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
