"""How good models are on several data sets, and on all of them together.

They are put together by the names of their classes. For each: average precision by pycocotools,
and for confidences that are chosen on all data together (those at which an asked precision is
reached, and the one of the best F1) what they give.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from synet.data.yolo_yaml import Dataset, load_dataset
from synet.detections.detections import Detections
from synet.evaluation.class_names import ids_of_classes, unique_name
from synet.evaluation.coco_matching import coco_evaluation, precision_of
from synet.evaluation.confusion import CONFIDENCE, confusion_matrix
from synet.evaluation.curves import (
    matches_of,
    threshold_for_precision,
    threshold_of_best_f1,
)
from synet.evaluation.found import Found, find_all, judged_by
from synet.evaluation.metrics_records import (
    ALL,
    PREDICTIONS,
    Metrics,
    ModelMetrics,
    Performance,
    Threshold,
)
from synet.evaluation.yolo_predictions import files_folder, read_predictions
from synet.models.predictor import Predictor, load_predictor, require_torch
from synet.system import optional_packages
from synet.system.errors import DataError, SynetError
from synet.tflite.kernels import FAST

LOGGER = logging.getLogger("synet")
# A model, or predictions that it wrote; and the data sets as they judge it.
Run = tuple[Callable[[Dataset], Found], Sequence[Dataset]]


def metrics(
    data: Sequence[str | Path],
    models: Sequence[str | Path] = (),
    predictions: Sequence[str | Path] = (),
    precisions: Sequence[float] = (),
    project: str | Path | None = None,
    split: str = "val",
    classes: Sequence[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    confidence: float = CONFIDENCE,
    progress: bool = True,
    strict: bool = False,
    kernels: str = FAST,
    device: str = "",
    batch: int = 1,
    cfg: str | Path | None = None,
) -> Metrics:
    """Measure models, or predictions that were written before, on labelled data.

    Parameters
    ----------
    data, split, progress, strict
        As for `synet.evaluation.evaluate.evaluate`; a class counts on each data set that names it.
    models, image_shape, repo, kernels, device, batch, cfg
        As for `synet.models.predictor.load_predictor`; each is run on all data.
    predictions
        In place of models a folder for each of `data`, as for
        `synet.evaluation.yolo_predictions.read_predictions`.
    precisions
        For each, find the confidence at which it is reached on all data together.
    project
        Write all figures, tables and curves into a new folder in this one.
    classes
        The data's names for the classes that the models find, or the predictions number, in their
        order. Default: the model's own names; the data's for predictions.
    confidence
        What is found with a confidence above it is in the confusion matrices.

    Raises
    ------
    SynetError
        A model cannot be run, or a file not be written; a `DataError` of data and predictions.

    Examples
    --------
    >>> measured = synet.metrics(["my.yaml"], ["best.pt", "best.tflite"], progress=False)
    >>> [(each.name, each.together.images, str(each.thresholds[-1])) for each in measured.models]
    [('best.pt', 2, 'best F1'), ('best.tflite', 2, 'best F1')]
    """
    _check_request(data, models, predictions, precisions, project, device, batch)
    datasets = _labelled(data, split, strict)
    settings = (precisions, split, classes, confidence, progress)
    how = {"kernels": kernels, "device": device, "batch": batch, "cfg": cfg}
    if predictions:
        result = _measure_predictions(predictions, datasets, *settings)
    else:
        result = measure(_opened(models, image_shape, repo, how), datasets, *settings)
    return result if project is None else _saved(result, project)


def measure(
    predictors: Mapping[str, Predictor],
    datasets: Sequence[Dataset],
    precisions: Sequence[float] = (),
    split: str = "val",
    classes: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
    progress: bool = True,
) -> Metrics:
    """As `metrics`, for models and data sets in memory.

    Parameters
    ----------
    predictors
        The models, by what to call them in the account.

    Raises
    ------
    DataError
        Data cannot be used, data sets not be put together, or a model finds what no data names.
    """
    runs: dict[str, Run] = {}
    for model, predictor in predictors.items():  # all are compared with the data before one runs
        unnamed = tuple(predictor.names) == tuple(map(str, range(len(predictor.names))))
        if unnamed and not classes and not _one_list(datasets):
            raise DataError(
                f"{model}: does not name its classes, and the data sets have different ones; "
                "say what it finds (--classes, in the model's order)"
            )
        judges = [judged_by(predictor, dataset) for dataset in datasets]
        elsewhere = {name for dataset in judges for name in dataset.names}
        for dataset in judges:
            ids_of_classes(predictor.names, dataset, classes, model, elsewhere)
        run = partial(
            find_all,
            predictor,
            split=split,
            classes=classes,
            progress=progress,
            model=model,
            elsewhere=elsewhere,
        )
        runs[model] = run, judges
    result = _measure(runs, datasets, precisions, split, confidence)
    ran = [replace(each, kernels=predictors[each.model].kernels) for each in result.models]
    return replace(result, models=tuple(ran))


def short_names(paths: Sequence[str | Path]) -> list[str]:
    """The last parts of each path, as few as tell all apart."""
    parts = [Path(path).parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _check_request(
    data: Sequence[str | Path],
    models: Sequence[str | Path],
    predictions: Sequence[str | Path],
    precisions: Sequence[float],
    project: str | Path | None,
    device: str,
    batch: int,
) -> None:
    """See to what can be told before anything is run."""
    if bool(models) == bool(predictions):
        raise SynetError("give either --models MODEL... or --predictions DIR...")
    if not data:
        raise SynetError("give one data yaml or several")
    _require_once("data set", data)
    _require_once("model", models)
    if predictions and len(predictions) != len(data):
        raise SynetError(
            f"--predictions: {len(predictions)} folders for {len(data)} data sets; "
            "give one for each, in the order of the data"
        )
    for folder in predictions:
        files_folder(folder)
    for precision in precisions:
        if not 0 < precision <= 1:
            raise SynetError(f"--precisions: {precision:g} is not above 0 and at most 1")
    if project is not None:
        place = Path(project).absolute()
        there = next(each for each in (place, *place.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise SynetError(f"--project {project}: {there} is no folder that can be written to")
        optional_packages.load("matplotlib.figure", "report", "drawing curves")
    require_torch(models, device, batch)


def _labelled(data: Sequence[str | Path], split: str, strict: bool) -> list[Dataset]:
    datasets = [load_dataset(each, strict) for each in data]
    for dataset in datasets:
        dataset.require_labels(split)
    return datasets


def _opened(
    models: Sequence[str | Path],
    image_shape: tuple[int, int] | None,
    repo: str | Path | None,
    how: dict[str, Any],
) -> dict[str, Predictor]:
    """The models, by what they are called."""
    return {str(model): load_predictor(model, image_shape, repo, **how) for model in models}


def _saved(result: Metrics, project: str | Path) -> Metrics:
    from synet.evaluation.metrics_files import save

    return replace(result, folder=save(result, project))


def _require_once(kind: str, paths: Sequence[str | Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        real = Path(path).resolve()
        if real in seen:
            raise SynetError(f"{path}: this {kind} is given twice")
        seen.add(real)


def _check_data(datasets: Sequence[Dataset], split: str) -> None:
    """See that data sets can be put together, and tell of images that count twice."""
    for dataset in datasets if not _one_list(datasets) else ():
        twice = [name for name in dataset.names if dataset.names.count(name) > 1]
        if twice:
            raise DataError(
                f"{dataset.yaml}: names '{twice[0]}' twice, and data sets with different classes "
                "are put together by name; rename one of them"
            )
    images = [{image.resolve() for image in each.images(split)} for each in datasets]
    again = sum(map(len, images)) - len(set().union(*images))
    if again:
        LOGGER.warning("%d images are in several of the data sets, and count in each", again)


def _one_list(datasets: Sequence[Dataset]) -> bool:
    """Do all data sets name the same classes in the same order?"""
    return len({dataset.names for dataset in datasets}) == 1


def _measure_predictions(
    folders: Sequence[str | Path],
    datasets: Sequence[Dataset],
    precisions: Sequence[float],
    split: str,
    classes: Sequence[str] | None,
    confidence: float,
    progress: bool,
) -> Metrics:
    elsewhere = {name for dataset in datasets for name in dataset.names}
    folder_of = {each.yaml: folder for each, folder in zip(datasets, folders, strict=True)}

    def run(dataset: Dataset) -> Found:
        return read_predictions(
            folder_of[dataset.yaml], dataset, split, classes, progress, elsewhere
        )

    return _measure({PREDICTIONS: (run, datasets)}, datasets, precisions, split, confidence)


def _measure(
    runs: Mapping[str, Run],
    datasets: Sequence[Dataset],
    precisions: Sequence[float],
    split: str,
    confidence: float,
) -> Metrics:
    _check_data(datasets, split)
    names = short_names([dataset.yaml.with_suffix("") for dataset in datasets])
    return Metrics(
        data=tuple(dataset.yaml for dataset in datasets),
        split=split,
        confidence=confidence,
        models=tuple(
            ModelMetrics(model, name, *_account(run, names, precisions, confidence))
            for (model, run), name in zip(runs.items(), short_names([*runs]), strict=True)
        ),
    )


def _account(
    run: Run,
    data_names: Sequence[str],
    precisions: Sequence[float],
    confidence: float,
) -> tuple[tuple[Performance, ...], Performance, tuple[Threshold, ...]]:
    """What to say of a model, as in `ModelMetrics`: on each data set, on all, and thresholds."""
    places: dict[str, int] = {}  # of a class's name its number in this account
    judged_of, labels, found = [], [], []
    find, datasets = run
    for dataset in datasets:
        result = find(dataset)
        judged = sorted({int(each) for each in result.class_ids if each >= 0})
        numbers = np.full(len(dataset.names), -1)
        for class_id in judged:
            name = unique_name(dataset, class_id)
            numbers[class_id] = places.setdefault(name, len(places))
        labels.append([_renumbered(each, numbers) for each in result.labels])
        found.append([_renumbered(each, numbers) for each in result.found])
        judged_of.append(numbers[judged])
    classes = tuple(places)
    performances = [
        _performance(*each, classes, confidence)
        for each in zip(data_names, labels, found, judged_of, strict=True)
    ]
    together = performances[0]
    if len(datasets) > 1:
        everything = sum(labels, []), sum(found, []), np.arange(len(classes))
        together = _performance(ALL, *everything, classes, confidence)
    pooled = together.pooled
    best = float(pooled.curve.thresholds.precision.max()) if len(pooled.right) else math.nan
    thresholds = [
        Threshold(precision, threshold_for_precision(pooled, precision), best)
        for precision in precisions
    ]
    thresholds.append(Threshold(None, threshold_of_best_f1(pooled), best))
    return tuple(performances), together, tuple(thresholds)


def _renumbered(detections: Detections, numbers: np.ndarray) -> Detections:
    """Detections with other class ids, without those of a class whose id is -1."""
    detections = replace(detections, classes=numbers[detections.classes])
    return detections[detections.classes >= 0]


def _performance(
    data: str,
    labels: Sequence[Detections],
    found: Sequence[Detections],
    judged: np.ndarray,
    classes: Sequence[str],
    confidence: float,
) -> Performance:
    """Measure one data set, of whose classes `judged` gives the numbers in `classes`."""
    evaluation = coco_evaluation(labels, found, judged)
    of_class = matches_of(evaluation)
    confusion = confusion_matrix(labels, found, len(classes), confidence)
    shown = np.append(judged, len(classes))  # the last stands for background
    return Performance(
        data=data,
        images=len(labels),
        classes=tuple(classes[number] for number in judged),
        precision=precision_of(evaluation, judged),
        matches=tuple(of_class[number] for number in judged),
        confusion=confusion[np.ix_(shown, shown)],
    )
