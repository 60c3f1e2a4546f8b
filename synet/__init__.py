"""SyNet: train the YOLO you have, run it on an embedded chip."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from synet.system.text import in_one_line
from synet.system.version import VERSION

__version__ = VERSION
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
    from synet.evaluation.evaluate import evaluate
    from synet.evaluation.metrics import metrics
    from synet.evaluation.predict import predict
    from synet.export.askeras import askeras
    from synet.export.askeras import askeras as as_keras
    from synet.inspection.compare import compare_layers
    from synet.inspection.profile import profile
    from synet.inspection.summary import summarize
    from synet.models.detect import detect
    from synet.models.get_model import get_model
    from synet.models.predictor import load_predictor
    from synet.patches.process import patch_custom, unpatch
    from synet.quantization.quantize_model import quantize_model
    from synet.report import write_report
    from synet.safety.make_safe import check, make_safe

logging.getLogger("synet").addFilter(in_one_line)  # every module logs to this one

# Resolved when asked for, so that ``import synet`` loads neither torch nor anything of a YOLO.
_HOMES = {
    "as_keras": ("synet.export.askeras", "askeras"),
    "askeras": ("synet.export.askeras", "askeras"),
    "check": ("synet.safety.make_safe", "check"),
    "compare_layers": ("synet.inspection.compare", "compare_layers"),
    "detect": ("synet.models.detect", "detect"),
    "evaluate": ("synet.evaluation.evaluate", "evaluate"),
    "get_model": ("synet.models.get_model", "get_model"),
    "load_predictor": ("synet.models.predictor", "load_predictor"),
    "make_safe": ("synet.safety.make_safe", "make_safe"),
    "metrics": ("synet.evaluation.metrics", "metrics"),
    "patch_custom": ("synet.patches.process", "patch_custom"),
    "predict": ("synet.evaluation.predict", "predict"),
    "profile": ("synet.inspection.profile", "profile"),
    "quantize_model": ("synet.quantization.quantize_model", "quantize_model"),
    "summarize": ("synet.inspection.summary", "summarize"),
    "unpatch": ("synet.patches.process", "unpatch"),
    "write_report": ("synet.report", "write_report"),
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'synet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
