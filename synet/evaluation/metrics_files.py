"""What `synet.metrics` measures, as tables, as files, and as pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synet.evaluation import confusion
from synet.evaluation.curves import Score
from synet.evaluation.metrics_records import (
    RIGHT_IOU,
    Metrics,
    ModelMetrics,
    Performance,
    Threshold,
)
from synet.evaluation.pictures import TOGETHER, draw_all
from synet.system.files import fill_folder
from synet.system.steps import step

ROWS = 20  # of classes, on a screen
NARROW = 80  # columns of a terminal
COLUMNS = 10  # classes whose confusion is told in columns; of more, the most frequent
BACKGROUND = "background"
CSV_COLUMNS = (
    "model data class images labels ap50 ap50_95 asked confidence precision recall f1".split()
)


@dataclass(frozen=True)
class Grid:
    """A table of text: groups of rows, whose first columns are names and the others numbers."""

    title: str
    header: tuple[str, ...]
    groups: tuple[tuple[tuple[str, ...], ...], ...]
    names: int = 1
    caption: str = ""
    spare: tuple[str, ...] = ()  # headings of columns that a narrow terminal does without

    def markdown(self) -> str:
        """For a page in Markdown."""
        sides = [":--" if number < self.names else "--:" for number in range(len(self.header))]
        rows = [self.header, sides, *(row for group in self.groups for row in group)]
        lines = [f"| {' | '.join(map(_plain, row))} |" for row in rows]
        title, caption = _plain(self.title), _plain(self.caption)
        return "\n".join([f"### {title}", "", *lines, "", caption]).strip()


def grids(model: ModelMetrics, confidence: float, rows: int | None = ROWS) -> list[Grid]:
    """Average precision, thresholds and confusion of a model.

    Parameters
    ----------
    model
        What was measured.
    confidence
        Of the confusion matrix.
    rows
        The most classes of a data set, and the most confusions, to tell; None: all.
    """
    return [
        precision_grid(model, rows),
        threshold_grid(model),
        confusion_grid(model.together, confidence, rows),
    ]


def precision_grid(model: ModelMetrics, rows: int | None = None) -> Grid:
    """Average precision of each class on each data set; of many classes the most labelled."""
    groups = []
    for each in model.shown:
        mean = tuple(map(_three, each.mean_precision))
        group = [(each.data, "all", str(each.images), str(each.labels), *mean)]
        for number in _most_labelled(each, rows):
            precision = map(_three, each.precision[number])
            labels = str(each.matches[number].labels)
            group.append(("", each.classes[number], "", labels, *precision))
        groups.append(tuple(group))
    most = max(len(each.classes) for each in model.shown)
    caption = "all: the mean of the classes that a label shows"
    if rows is not None and most > rows:
        caption += f"; the {rows} most labelled of {most} classes, metrics.md has all"
    header = ("data", "class", "images", "labels", "mAP50", "mAP50-95")
    title = f"Average precision of {model.name}"
    return Grid(title, header, tuple(groups), 2, caption, ("images", "labels"))


def threshold_grid(model: ModelMetrics) -> Grid:
    """What each threshold, chosen on all data together, gives on each data set."""
    groups, missed = [], []
    for threshold in model.thresholds:
        if threshold.confidence is None:
            missed.append(_missed(threshold))
            groups.append(((str(threshold), "not reached", "", *("-",) * 3),))
            continue
        first = str(threshold), _short(threshold.confidence)
        shown = dict.fromkeys((model.together, *model.sets))  # once each, where there is one set
        scores = [(each.data, each.above(threshold.confidence)[0]) for each in shown]
        groups.append(
            tuple(
                (*(first if not number else ("", "")), data, *_figures(score))
                for number, (data, score) in enumerate(scores)
            )
        )
    caption = "confidence: what is found with a higher one counts, of all classes; right is what "
    caption += f"overlaps a label of its class by {RIGHT_IOU} or more"
    header = ("asked", "confidence", "data", "precision", "recall", "F1")
    title = f"Thresholds of {model.name}"
    return Grid(title, header, tuple(groups), 3, "; ".join(dict.fromkeys([caption, *missed])))


def class_grid(model: ModelMetrics, threshold: Threshold) -> Grid:
    """What a threshold gives for each class of each data set."""
    groups = []
    for each in model.shown:
        _, scores = each.above(threshold.confidence)
        groups.append(
            tuple(
                (each.data if not number else "", name, *_figures(score))
                for number, (name, score) in enumerate(zip(each.classes, scores, strict=True))
            )
        )
    title = f"{model.name} at {threshold}: confidence above {_short(threshold.confidence)}"
    return Grid(title, ("data", "class", "precision", "recall", "F1"), tuple(groups), 2)


def confusion_grid(each: Performance, confidence: float, rows: int | None = None) -> Grid:
    """The confusion matrix; of many classes, what is taken most often for something else."""
    limits = f"confidence above {confidence:g}, IoU at least {confusion.LEAST_IOU}"
    title = f"Confusion on {each.data}: {limits}"
    names = (*each.classes, BACKGROUND)
    if len(each.classes) <= COLUMNS and (rows is None or _has_room(names)):
        lines = zip(names, each.confusion.tolist(), strict=True)
        table = tuple((name, *map(str, line)) for name, line in lines)
        caption = "a column for what is there; last row: not found; last column: false alarms"
        return Grid(title, ("found as", *names), (table,), 1, caption)
    mistakes = each.confusion - np.diag(np.diag(each.confusion))
    places = np.argsort(-mistakes, axis=None, kind="stable")[: np.count_nonzero(mistakes)]
    listed = tuple(
        (names[column], names[row], str(mistakes[row, column]))
        for row, column in zip(*np.unravel_index(places[:rows], mistakes.shape), strict=True)
    )
    caption = f"{len(listed)} of {len(places)} mistakes, the most frequent first; metrics.json has "
    caption += f"the matrix; {BACKGROUND}: no label there, or nothing found"
    return Grid(title, ("what is there", "was found as", "times"), (listed,), 2, caption)


def save(metrics: Metrics, project: str | Path) -> Path:
    """Write ``metrics.json``, ``.csv`` and ``.md`` and the pictures into a new folder.

    Returns
    -------
    The folder, in `project`, complete.

    Raises
    ------
    SynetError
        It cannot be written, or matplotlib is not installed.
    """
    return fill_folder(project, lambda folder: _fill(folder, metrics))


def as_json(metrics: Metrics) -> dict[str, Any]:
    """All figures, in lists and dictionaries; None for what is not defined."""
    return {
        "data": [str(path) for path in metrics.data],
        "split": metrics.split,
        "right_at_iou": RIGHT_IOU,
        "confusion": {"confidence_above": metrics.confidence, "iou_at_least": confusion.LEAST_IOU},
        "models": [
            {
                "model": model.model,
                "kernels": asdict(model.kernels) if model.kernels else None,
                "thresholds": [
                    {
                        "asked": str(each),
                        "precision": each.precision,
                        "confidence": each.confidence,
                        "best_precision": _defined(each.best),
                    }
                    for each in model.thresholds
                ],
                "data": [_performance_json(each, model.thresholds) for each in model.sets],
                "together": _performance_json(model.together, model.thresholds),
            }
            for model in metrics.models
        ],
    }


def as_csv(metrics: Metrics) -> str:
    """A row for each model, data set, class and threshold; ``all`` of a class is all of them."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for model in metrics.models:
        for each in model.shown:
            for threshold in model.thresholds:
                table.writerows(_csv_rows(model.model, each, threshold))
    return text.getvalue()


def as_markdown(metrics: Metrics, pictures: dict[str, dict[str, list[str]]]) -> str:
    """A page of all tables.

    Parameters
    ----------
    pictures
        By model and data set, the pictures to show, relative to the page; those of several models
        together by `TOGETHER`.
    """
    parts = [
        "# Metrics",
        f"{_plain(', '.join(map(str, metrics.data)))}: split {metrics.split}. Average precision is "
        "COCO's, by pycocotools. Thresholds are chosen on all data sets together, over the finds "
        "of all classes: the lowest confidence that reaches the precision, so that most is found.",
    ]
    if TOGETHER in pictures:
        parts.append(f"## {TOGETHER}")
        parts += [f"![]({picture})" for each in pictures[TOGETHER].values() for picture in each]
    for model in metrics.models:
        parts += [f"## {_plain(model.model)}", *([f"On {model.kernels}."] if model.kernels else [])]
        parts += [precision_grid(model).markdown(), threshold_grid(model).markdown()]
        reached = [each for each in model.thresholds if each.confidence is not None]
        parts += [class_grid(model, each).markdown() for each in reached]
        for each in model.shown:
            parts.append(confusion_grid(each, metrics.confidence).markdown())
            parts += [f"![]({picture})" for picture in pictures[model.model][each.data]]
    return "\n\n".join(parts) + "\n"


def _fill(folder: Path, metrics: Metrics) -> None:
    step("drawing curves")
    pictures = draw_all(folder, metrics)
    text = json.dumps(as_json(metrics), indent=1, ensure_ascii=False, allow_nan=False)
    for name, content in (
        ("metrics.json", text + "\n"),
        ("metrics.csv", as_csv(metrics)),
        ("metrics.md", as_markdown(metrics, pictures)),
    ):
        (folder / name).write_text(content, encoding="utf-8", newline="")


def _performance_json(each: Performance, thresholds: Sequence[Threshold]) -> dict[str, Any]:
    map50, map50_95 = map(_defined, each.mean_precision)
    at = []
    for threshold in thresholds:
        if threshold.confidence is not None:
            score, of_class = each.above(threshold.confidence)
            classes = zip(each.classes, map(_score_json, of_class), strict=True)
            at.append({"asked": str(threshold), **_score_json(score), "classes": dict(classes)})
    return {
        "name": each.data,
        "images": each.images,
        "labels": each.labels,
        "map50": map50,
        "map50_95": map50_95,
        "classes": {
            name: {"labels": found.labels, "ap50": _defined(ap50), "ap50_95": _defined(ap50_95)}
            for name, found, (ap50, ap50_95) in zip(
                each.classes, each.matches, each.precision.tolist(), strict=True
            )
        },
        "at": at,
        "confusion": {
            "found_as": [*each.classes, BACKGROUND],
            "what_is_there": [*each.classes, BACKGROUND],
            "matrix": each.confusion.tolist(),
        },
    }


def _score_json(score: Score) -> dict[str, Any]:
    return {
        "labels": score.labels,
        "found": score.found,
        "right": score.right,
        "precision": _defined(score.precision),
        "recall": _defined(score.recall),
        "f1": _defined(score.f1),
    }


def _csv_rows(model: str, each: Performance, threshold: Threshold) -> Iterator[list[Any]]:
    nothing = Score(0, 0, 0)
    overall, of_class = (
        (nothing, [nothing] * len(each.classes))
        if threshold.confidence is None
        else each.above(threshold.confidence)
    )
    labels = [each.labels, *(found.labels for found in each.matches)]
    rows = zip(
        ("all", *each.classes),
        labels,
        (each.mean_precision, *each.precision.tolist()),
        (overall, *of_class),
        strict=True,
    )
    for name, count, precision, score in rows:
        values = (*precision, threshold.confidence, score.precision, score.recall, score.f1)
        ap50, ap50_95, *at = ("" if value is None else _empty(value) for value in values)
        yield [model, each.data, name, each.images, count, ap50, ap50_95, str(threshold), *at]


def _most_labelled(each: Performance, rows: int | None) -> list[int]:
    """Numbers of the classes with most labels, in the order of the classes."""
    labels = [-found.labels for found in each.matches]
    return sorted(np.argsort(labels, kind="stable")[:rows].tolist())


def _has_room(names: Sequence[str]) -> bool:
    """Whether a narrow terminal has room for a column of each, beside one for all of them."""
    widths = [max(map(len, ("found as", *names))), *map(len, names)]
    return sum(width + 3 for width in widths) < NARROW


def _missed(threshold: Threshold) -> str:
    if math.isnan(threshold.best):
        return "nothing was found"
    if threshold.precision is None:
        return "there is no best F1: nothing that was found is right"
    return f"{threshold} is not reached: the highest is {threshold.best:.3f}"


def _figures(score: Score) -> tuple[str, str, str]:
    return _three(score.precision), _three(score.recall), _three(score.f1)


def _three(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _short(confidence: float) -> str:
    return f"{confidence:.9g}"


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def _empty(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _plain(text: str) -> str:
    """Text that Markdown does not take for anything else."""
    return re.sub(r"([\\|*_`<\[])", r"\\\1", text)
