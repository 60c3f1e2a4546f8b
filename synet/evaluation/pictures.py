"""The pictures of `synet.metrics`: of each model, and of all models that it compares in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from synet.evaluation import plots
from synet.evaluation.metrics_records import Metrics, ModelMetrics, Performance

TOGETHER = "All models"
LONGEST = 100  # characters of a name in that of a file


def draw_all(folder: Path, metrics: Metrics) -> dict[str, dict[str, list[str]]]:
    """Draw curves and confusion into a folder, where each of several models has one of its own.

    Returns
    -------
    By model and data set the pictures, relative to the folder; those that show several models
    by `TOGETHER`.
    """
    several = len(metrics.models) > 1
    pictures = {TOGETHER: _draw_together(folder, metrics)} if several else {}
    folders = _file_names([model.name for model in metrics.models])
    for model, name in zip(metrics.models, folders, strict=True):
        place = folder / name if several else folder
        place.mkdir(exist_ok=True)
        for tail, each in _drawn(model):
            written = [
                plots.precision_recall(place / f"precision-recall{tail}.png", model, each),
                plots.f1(place / f"f1{tail}.png", model, each),
                plots.confusion(place / f"confusion{tail}.png", model, each, metrics.confidence),
            ]
            paths = [path.relative_to(folder).as_posix() for path in written]
            pictures.setdefault(model.model, {})[each.data] = paths
    return pictures


def _draw_together(folder: Path, metrics: Metrics) -> dict[str, list[str]]:
    """The curves of all models in one picture, for all data and for each data set."""
    names = [model.name for model in metrics.models]
    pictures = {}
    for same in zip(*map(_drawn, metrics.models), strict=True):
        tail, data = same[0][0], same[0][1].data
        models = dict(zip(names, (each for _, each in same), strict=True))
        written = [
            plots.precision_recall_of_models(folder / f"precision-recall{tail}.png", data, models),
            plots.f1_of_models(folder / f"f1{tail}.png", data, models),
        ]
        pictures[data] = [path.name for path in written]
    return pictures


def _drawn(model: ModelMetrics) -> list[tuple[str, Performance]]:
    """What is drawn of a model: all data, and each of several sets, with a tail for its files."""
    tails = (f"-{name}" for name in _file_names([each.data for each in model.sets]))
    sets = zip(tails, model.sets, strict=True) if len(model.sets) > 1 else ()
    return [("", model.together), *sets]


def _file_names(names: Sequence[str]) -> list[str]:
    """A name for a file for each, of letters and digits of whatever script, and not too long."""
    taken: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.+-]+", "_", name)[:LONGEST].strip("._") or "data"
        same = sum(other.lower() == stem.lower() for other in taken)
        taken.append(f"{stem}-{same + 1}" if same else stem)
    return taken
