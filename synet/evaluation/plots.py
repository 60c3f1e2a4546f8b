"""Pictures of curves and confusion, by matplotlib, in colours that the colour-blind tell apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.evaluation.confusion import LEAST_IOU
from synet.evaluation.curves import RECALLS
from synet.evaluation.metrics_records import RIGHT_IOU, ModelMetrics, Performance
from synet.system import optional_packages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, without the yellow that white paper swallows and the black of the mean.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dashed", "dotted")
MARKERS = "os^Dv*"
BOLD = {"color": "black", "linewidth": 2.5}  # of all classes together
NAMED = len(COLOURS) * len(DASHES)  # most classes that are all told apart
COLOURED = 12  # of more classes, those that are told apart
NUMBERS = 20  # classes up to which the confusion matrix shows its numbers


def precision_recall(path: Path, model: ModelMetrics, each: Performance) -> Path:
    """Draw precision over recall: each class, and their mean, as COCO reads the curves.

    The area under a line is the average precision that its name tells.
    """
    title = f"Precision and recall at IoU {RIGHT_IOU}: {model.name}"
    figure, axes = _figure(title, _on(each))
    shown = ~np.isnan(each.precision[:, 0])
    for number, style in _styles(each, shown):
        name = _text(f"{each.classes[number]} {each.precision[number, 0]:.3f}")
        line = each.matches[number].curve.interpolated()
        axes.plot(RECALLS, line, **({"label": name} | style))
    _plot_mean(axes, each, f"mean (mAP50) {each.mean_precision[0]:.3f}", BOLD)
    axes.set(xlabel="recall", ylabel="precision")
    return _saved(path, figure, axes)


def precision_recall_of_models(path: Path, data: str, models: Mapping[str, Performance]) -> Path:
    """Draw precision over recall of several models, by their names: the mean of the classes."""
    figure, axes = _figure(f"Precision and recall at IoU {RIGHT_IOU}, and mAP50", f"on {data}")
    for (name, each), style in zip(models.items(), _lines(), strict=False):
        _plot_mean(axes, each, f"{name} {each.mean_precision[0]:.3f}", style)
    axes.set(xlabel="recall", ylabel="precision, the mean of the classes")
    return _saved(path, figure, axes)


def f1(path: Path, model: ModelMetrics, each: Performance) -> Path:
    """Draw F1 over the confidence: each class, and the finds of all classes, with thresholds."""
    figure, axes = _figure(f"F1 at IoU {RIGHT_IOU}: {model.name}", _on(each))
    shown = np.array([found.labels > 0 for found in each.matches], bool)
    for number, style in _styles(each, shown):
        points = each.matches[number].curve.thresholds
        label = _text(each.classes[number])
        axes.plot(*_steps(points.confidence, points.f1), **({"label": label} | style))
    _plot_f1(axes, each, "all finds", BOLD)
    for threshold, marker in zip(model.thresholds, cycle(MARKERS), strict=False):
        if threshold.confidence is not None:
            score, _ = each.above(threshold.confidence)
            name = f"{threshold}: above {threshold.confidence:.9g}"
            axes.axvline(threshold.confidence, color="0.4", linestyle="dashdot", linewidth=1)
            point = threshold.confidence, score.f1
            axes.plot(*point, color="black", linestyle="", marker=marker, label=name)
    axes.set(xlabel="confidence", ylabel="F1")
    return _saved(path, figure, axes)


def f1_of_models(path: Path, data: str, models: Mapping[str, Performance]) -> Path:
    """Draw F1 over the confidence of several models, by their names: the finds of all classes."""
    figure, axes = _figure(f"F1 at IoU {RIGHT_IOU}, and the best", f"on {data}")
    for (name, each), style in zip(models.items(), _lines(), strict=False):
        best = max(each.pooled.curve.thresholds.f1, default=0.0)
        _plot_f1(axes, each, f"{name} {best:.3f}", style)
    axes.set(xlabel="confidence", ylabel="F1, of all finds")
    return _saved(path, figure, axes)


def confusion(path: Path, model: ModelMetrics, each: Performance, confidence: float) -> Path:
    """Draw the confusion matrix: counts, shaded by the share of what is there."""
    used = np.flatnonzero(each.confusion.any(axis=0) | each.confusion.any(axis=1))
    if not len(used):
        used = np.array([len(each.classes)])  # nothing there and nothing found: an empty picture
    matrix = each.confusion[np.ix_(used, used)]
    names = [_text((*each.classes, "background")[number]) for number in used]
    side = 4.5 + 0.32 * min(len(used), NUMBERS) + 0.16 * max(len(used) - NUMBERS, 0)
    figure, axes = _figure(f"Confusion: {model.name}", _on(each), (side + 1.2, side))
    shares = matrix / np.maximum(matrix.sum(axis=0), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 9 if len(used) <= NUMBERS else 6
    axes.set_xticks(range(len(used)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(used)), names, fontsize=size)
    if len(used) <= NUMBERS:
        for row, column in np.argwhere(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set(
        xlabel="what is there",
        ylabel=f"what was found (confidence above {confidence:g}, IoU at least {LEAST_IOU})",
    )
    figure.colorbar(image, ax=axes, label="share of what is there", shrink=0.8)
    return _written(path, figure)


def _figure(title: str, subtitle: str, size: tuple[float, float] = (9, 5.5)) -> tuple[Figure, Axes]:
    module = optional_packages.load("matplotlib.figure", "report", "drawing curves")
    figure = module.Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_text(f"{title}\n{subtitle}"), fontsize=10)
    return figure, axes


def _on(each: Performance) -> str:
    return f"on {each.data}: {each.images} images, {each.labels} labels"


def _plot_mean(axes: Axes, each: Performance, label: str, style: Mapping[str, Any]) -> None:
    """The mean over recall of the classes that a label shows, if any does."""
    shown = [found.curve.interpolated() for found in each.matches if found.labels]
    if shown:
        axes.plot(RECALLS, np.mean(shown, axis=0), label=_text(label), **style)


def _plot_f1(axes: Axes, each: Performance, label: str, style: Mapping[str, Any]) -> None:
    """F1 over the confidence, of the finds of all classes, if there is a label."""
    points = each.pooled.curve.thresholds
    if each.labels:
        axes.plot(*_steps(points.confidence, points.f1), label=_text(label), **style)


def _lines() -> Iterator[dict[str, Any]]:
    """How to draw one model after another."""
    for dash, colour in cycle(product(DASHES, COLOURS)):
        yield {"color": colour, "linestyle": dash, "linewidth": 1.8}


def _styles(each: Performance, shown: np.ndarray) -> list[tuple[int, dict]]:
    """How to draw each class that is shown: of many, the most labelled in colour, on top."""
    numbers = np.flatnonzero(shown)
    labels = np.array([found.labels for found in each.matches], int)
    named = numbers
    if len(numbers) > NAMED:
        named = np.sort(numbers[np.argsort(-labels[numbers], kind="stable")[:COLOURED]])
    others = np.setdiff1d(numbers, named)
    grey = {"color": "0.8", "linewidth": 0.7, "label": "_"}  # _: not in the legend
    styles = [(number, dict(grey)) for number in others]
    if styles:
        styles[0][1]["label"] = f"{len(others)} classes with fewer labels"
    for place, number in enumerate(named):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS)]
        styles.append((number, {"color": colour, "linestyle": dash, "linewidth": 1.4}))
    return styles


def _steps(confidence: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line that falls to 0 above the highest confidence, and stays as it is below the lowest."""
    if not len(confidence):
        return np.array([0, 1]), np.zeros(2)
    ends = np.concatenate([[1, confidence[0]], confidence, [0]])
    return ends, np.concatenate([[0, 0], values, values[-1:]])


def _saved(path: Path, figure: Figure, axes: Axes) -> Path:
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    if any(not line.get_label().startswith("_") for line in axes.lines):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    return _written(path, figure)


def _written(path: Path, figure: Figure) -> Path:
    with warnings.catch_warnings():
        # a name in a script that matplotlib's own font lacks is drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path)
    return path


def _text(text: str) -> str:
    """A name as it is: $ starts no formula, and _ does not hide it from the legend."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")
