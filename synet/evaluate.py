"""Average precision of a detector on a split of a dataset, as COCO defines it.

The arithmetic is that of pycocotools: ten IoU thresholds, 101 recall points, at most 100
detections of a class in an image.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.progress import track

from synet.data import Dataset, load_dataset, read_image, read_labels
from synet.detections import Detections
from synet.errors import DataError, SynetError
from synet.predictor import Predictor, detect, load_predictor
from synet.shift import SURE, Shift, confidence_shift, float_twin

if TYPE_CHECKING:
    from rich.table import Table

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

    def table(self) -> Table:
        """The figures, for a terminal."""
        from rich.table import Table

        height, width = self.image_shape
        table = Table(
            title=f"{self.model} on {self.split} of {self.data}",
            caption=f"{self.images} images, {self.boxes} boxes, {height}x{width}, "
            f"{1000 * self.seconds / self.images:.0f} ms an image"
            + (f"\n{self.shift}" if self.shift else ""),
            show_footer=True,
        )
        table.add_column("class", "all")
        table.add_column("mAP50", f"{self.map50:.3f}", justify="right")
        table.add_column("mAP50-95", f"{self.map50_95:.3f}", justify="right")
        for name, (ap50, ap50_95) in self.per_class.items():
            table.add_row(name, f"{ap50:.3f}", f"{ap50_95:.3f}")
        return table


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
) -> Report:
    """Evaluate a ``.pt`` checkpoint or a ``.tflite`` file, both on the same letterboxed images.

    Parameters
    ----------
    model, image_shape, repo
        As for `synet.predictor.load_predictor`.
    data
        The data yaml.
    split
        ``train``, ``val`` or ``test``.
    confidence, iou
        As for `synet.detections.select`; average precision wants a low confidence.
    classes
        The names in `data` of the classes that the model finds, in the model's order. Needed only
        where the model does not know them: a vendor's person detector, say, on COCO. Classes that
        it does not find are left out of the account.
    progress
        Whether to show a progress bar on stderr.
    float_model
        What a ``.tflite`` file was made of: its scores are compared with this model's. Default:
        the ``.pt`` of the same name beside it, if there is one.

    Raises
    ------
    SynetError
        The model cannot be run; a `DataError` where the data cannot be used.
    """
    dataset = load_dataset(data)
    dataset.images(split)  # says what is missing before the model is loaded, which takes seconds
    predictor = load_predictor(model, image_shape, repo)
    twin = float_model or float_twin(model)
    reference = _reference(twin, predictor, repo, asked=float_model is not None)
    report = evaluate_predictor(
        predictor, dataset, split, confidence, iou, classes, progress, str(model), reference
    )
    if report.shift:
        report = replace(report, shift=replace(report.shift, twin=str(twin)))
    return report


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
) -> Report:
    """As `evaluate`, for a model and a dataset in memory; `model` is what to call it in the report.

    Parameters
    ----------
    reference
        A model of the same classes: the report tells how far scores shifted from its scores.

    Raises
    ------
    DataError
        The data cannot be used, or its class names are not the model's.
    """
    class_ids = _class_ids(predictor, dataset, classes, model)
    dataset.require_labels(split)
    images = dataset.images(split)
    steps: Iterable[Path] = images
    if progress:
        steps = track(images, f"{Path(model).name} on {split}", console=Console(stderr=True))
    labels, found, compared, seconds = [], [], [], 0.0
    for path in steps:
        start = perf_counter()
        image = read_image(path)
        labels.append(_labelled(path, dataset, image.shape[:2]))
        hits = detect(predictor, image, confidence, iou)
        found.append(Detections(hits.boxes, hits.scores, class_ids[hits.classes]))
        seconds += perf_counter() - start
        if reference is not None:
            compared.append((hits, detect(reference, image, SURE, iou)))

    precision = average_precision(labels, found, class_ids)
    shown = ~np.isnan(precision[:, 0])
    mean = precision[shown].mean(axis=0) if shown.any() else np.full(2, np.nan)
    return Report(
        model=model,
        data=str(dataset.yaml),
        split=split,
        image_shape=tuple(predictor.image_shape),
        map50=float(mean[0]),
        map50_95=float(mean[1]),
        per_class={
            _unique_name(dataset, index): (float(ap50), float(ap50_95))
            for index, (ap50, ap50_95) in zip(class_ids[shown], precision[shown], strict=True)
        },
        images=len(images),
        boxes=sum(int(np.isin(each.classes, class_ids).sum()) for each in labels),
        seconds=seconds,
        shift=confidence_shift(compared) if reference is not None else None,
    )


def ground_truth(dataset: Dataset, images: Iterable[str | Path]) -> list[Detections]:
    """The labelled boxes of each image, in its own pixels, clipped to it, with a score of 1.

    Raises
    ------
    DataError
        An image or its label file cannot be read.
    """
    return [_labelled(image, dataset, read_image(image).shape[:2]) for image in images]


def average_precision(
    labels: Sequence[Detections], found: Sequence[Detections], classes: Iterable[int]
) -> np.ndarray:
    """Average precision of each class, by pycocotools.

    Parameters
    ----------
    labels, found
        What is there and what was found, image by image.
    classes
        The class ids to report on.

    Returns
    -------
    float64 ``(classes, 2)``: at IoU 0.50, and the mean over IoU 0.50 to 0.95. NaN for a class
    that no label shows.
    """
    classes, places = np.unique([int(each) for each in classes], return_inverse=True)
    with redirect_stdout(io.StringIO()):  # pycocotools reports each of its steps
        score = COCOeval(_coco(labels, classes), _coco(found, classes), "bbox")
        score.params.areaRng, score.params.areaRngLbl = [[0, 1e10]], ["all"]
        score.evaluate()
        score.accumulate()
    # threshold, recall, class, area, most detections; -1 where a class has no label
    precision = score.eval["precision"][:, :, :, 0, -1].mean(axis=1)
    result = np.stack([precision[0], precision.mean(axis=0)], axis=1)
    return np.where(result < 0, np.nan, result)[places]


def _coco(per_image: Sequence[Detections], classes: Iterable[int]) -> COCO:
    annotations: list[dict[str, Any]] = []
    for image_id, each in enumerate(per_image):
        corners = each.boxes.astype(np.float64)
        sizes = corners[:, 2:] - corners[:, :2]
        xywh = np.concatenate([corners[:, :2], sizes], axis=1).tolist()
        rows = zip(xywh, sizes.prod(axis=1), each.scores, each.classes, strict=True)
        for box, area, score, class_id in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes 0 for "no match"
                    "image_id": image_id,
                    "category_id": int(class_id),
                    "bbox": box,
                    "area": float(area),
                    "score": float(score),
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in range(len(per_image))],
        "categories": [{"id": int(class_id)} for class_id in classes],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _reference(
    twin: str | Path | None, predictor: Predictor, repo: str | Path | None, asked: bool
) -> Predictor | None:
    """The float twin, at the shape of the file; one that nobody asked for may be no such thing."""
    if twin is None:
        return None
    try:
        reference = load_predictor(twin, predictor.image_shape, repo)
        if len(reference.names) != len(predictor.names):
            raise SynetError(
                f"{twin}: finds {len(reference.names)} classes, and the model "
                f"{len(predictor.names)}; give the model's own float twin with --float"
            )
    except SynetError as error:
        if asked:
            raise
        LOGGER.warning("no confidence shift: %s", error)
        return None
    return reference


def _unique_name(dataset: Dataset, index: int) -> str:
    name = dataset.names[index]
    return name if dataset.names.count(name) == 1 else f"{name} ({index})"


def _labelled(image: str | Path, dataset: Dataset, shape: tuple[int, int]) -> Detections:
    labels = read_labels(image, len(dataset.names))
    size = np.array(shape[::-1], np.float32)
    centre, half = labels[:, 1:3], labels[:, 3:5] / 2
    corners = [np.clip(centre - half, 0, 1) * size, np.clip(centre + half, 0, 1) * size]
    return Detections(np.concatenate(corners, axis=1), np.ones(len(labels)), labels[:, 0])


def _class_ids(
    predictor: Predictor, dataset: Dataset, classes: Sequence[str] | None, model: str
) -> np.ndarray:
    """For each class of the model, its id in the dataset."""
    names = tuple(classes or predictor.names)
    if len(names) != len(predictor.names):
        raise DataError(
            f"{model}: finds {len(predictor.names)} classes, but {len(names)} are named: {names}"
        )
    unnamed = tuple(str(index) for index in range(len(names)))
    if names in (dataset.names, unnamed) and len(names) == len(dataset.names):
        return np.arange(len(names))
    unknown = [name for name in names if name not in dataset.names]
    if unknown:
        raise DataError(
            f"{model}: finds '{unknown[0]}', which {dataset.yaml} does not name; it has "
            f"{', '.join(dataset.names[:5])}{', ...' if len(dataset.names) > 5 else ''}; "
            "say in its terms what the model finds (--classes, in the model's order)"
        )
    return np.array([dataset.names.index(name) for name in names])
