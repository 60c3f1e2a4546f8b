"""Average precision of a detector on a split of a dataset, as COCO defines it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synet.data.yolo_yaml import Dataset, load_dataset
from synet.detections.score_shift import SURE, Shift, confidence_shift
from synet.evaluation.class_names import unique_name
from synet.evaluation.coco_matching import precision_of
from synet.evaluation.found import Found, find_all, found_by, judged_by
from synet.models.predictor import Predictor
from synet.models.twin import load_with_twin
from synet.system.errors import SynetError
from synet.tflite.kernels import FAST, Kernels

LOGGER = logging.getLogger("synet")


@dataclass(frozen=True)
class Report:
    """How well a model finds the objects of a split. All precisions are 0-1.

    Attributes
    ----------
    model, data, split
        What was evaluated, on what.
    image_shape
        Height and width at which the model ran.
    map50, map50_95
        Mean over the classes, at IoU 0.50 and over IoU 0.50 to 0.95. NaN without any labelled box.
    per_class
        For each class that the labels show, its average precision at the same two.
    images, boxes
        How many images, and labelled boxes in them.
    seconds
        Time to read the images and run the model.
    shift
        Of an int8 file against its float twin, where that is at hand.
    kernels
        What a TFLite file ran on, see `synet.tflite.kernels`.
    left_out
        How many images were left out, as YOLO does, because they or their labels are broken.
    """

    model: str
    data: str
    split: str
    image_shape: tuple[int, int]
    map50: float
    map50_95: float
    per_class: dict[str, tuple[float, float]]
    images: int
    boxes: int
    seconds: float
    shift: Shift | None = None
    kernels: Kernels | None = None
    left_out: int = 0


def evaluate(
    model: str | Path,
    data: str | Path,
    split: str = "val",
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    confidence: float = 0.001,
    iou: float = 0.6,
    classes: Sequence[str] | None = None,
    progress: bool = True,
    float_model: str | Path | None = None,
    strict: bool = False,
    kernels: str = FAST,
    device: str = "",
    batch: int = 1,
    cfg: str | Path | None = None,
) -> Report:
    """Evaluate a ``.pt`` checkpoint or a ``.tflite`` file, both on the same letterboxed images.

    Parameters
    ----------
    model, image_shape, repo, kernels, device, batch, cfg
        As for `synet.models.predictor.load_predictor`; the last three of the float model, too.
    data, split
        The data yaml, and what of it: ``train``, ``val`` or ``test``.
    confidence, iou
        As for `synet.detections.detections.best_rows`; average precision wants a low confidence.
    classes
        The names in `data` of the classes that the model finds, in the model's order. Needed only
        where the model does not know them: a vendor's person detector, say, on COCO. Classes that
        it does not find are left out of the account.
    progress
        Whether to show a progress bar on stderr.
    float_model
        What a ``.tflite`` file was made of: its scores are compared with this model's. Default:
        the ``.pt`` of the same name beside it, if there is one.
    strict
        Whether an image or a label that cannot be read is an error; else the image is left out, as
        the YOLO does that trained the model, and told.

    Raises
    ------
    SynetError
        The model cannot be run; a `DataError` where the data cannot be used.

    Examples
    --------
    >>> report = synet.evaluate("best.tflite", "my.yaml", progress=False)
    >>> report.split, report.images, 0 <= report.map50_95 <= report.map50 <= 1
    ('val', 2, True)
    """
    dataset = load_dataset(data, strict)
    dataset.images(split)  # says what is missing before the model is loaded, which takes seconds
    predictor, twin = load_with_twin(
        model, float_model, _without_shift, image_shape, repo, kernels, device, batch, cfg
    )
    settings = split, confidence, iou, classes, progress
    reference = (twin.predictor, str(twin.path)) if twin else ()
    return evaluate_predictor(predictor, dataset, *settings, str(model), *reference)


def evaluate_predictor(
    predictor: Predictor,
    dataset: Dataset,
    split: str = "val",
    confidence: float = 0.001,
    iou: float = 0.6,
    classes: Sequence[str] | None = None,
    progress: bool = True,
    model: str = "model",
    reference: Predictor | None = None,
    float_name: str = "float",
) -> Report:
    """As `evaluate`, for a model and a dataset in memory; `model` is what to call it in the report.

    Parameters
    ----------
    reference
        A model of the same classes: the report tells how far scores shifted from its scores.
    float_name
        What to call that in the report.

    Raises
    ------
    DataError
        The data cannot be used, or its class names are not the model's.
    """
    dataset = judged_by(predictor, dataset)
    result = find_all(predictor, dataset, split, confidence, iou, classes, progress, model)
    class_ids, shift = result.class_ids, None
    if reference is not None:
        title = f"its float twin on {split}"
        sure = found_by(reference, dataset, split, class_ids, SURE, iou, title, progress)
        shift = confidence_shift(zip(result.found, sure.found, strict=True))
        shift = replace(shift, twin=float_name)

    per_class = class_precision(result, dataset)
    map50, map50_95 = mean_precision(per_class)
    return Report(
        model=model,
        data=str(dataset.yaml),
        split=split,
        image_shape=tuple(predictor.image_shape),
        map50=map50,
        map50_95=map50_95,
        per_class=per_class,
        images=len(result.images),
        boxes=result.boxes,
        seconds=result.seconds,
        shift=shift,
        kernels=predictor.kernels,
        left_out=len(result.left_out),
    )


def class_precision(result: Found, dataset: Dataset) -> dict[str, tuple[float, float]]:
    """Average precision of each class that a label shows: at IoU 0.50, and over 0.50 to 0.95."""
    classes = [int(class_id) for class_id in result.class_ids if class_id >= 0]
    precision = precision_of(result.evaluation, classes)
    return {
        unique_name(dataset, class_id): (float(ap50), float(ap50_95))
        for class_id, (ap50, ap50_95) in zip(classes, precision, strict=True)
        if not np.isnan(ap50)
    }


def mean_precision(per_class: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """mAP50 and mAP50-95, the means over the classes; NaN where there are none."""
    map50, map50_95 = np.mean([*per_class.values()], axis=0) if per_class else (np.nan, np.nan)
    return float(map50), float(map50_95)


def _without_shift(error: SynetError) -> None:
    LOGGER.warning("no confidence shift: %s", error)
