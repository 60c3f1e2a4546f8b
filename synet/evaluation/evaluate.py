"""Average precision of a detector on a split of a dataset, as COCO defines it.

The arithmetic is that of pycocotools: ten IoU thresholds, 101 recall points, at most 100
detections of a class in an image.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.progress import track

from synet.data.dialects import DIALECTS
from synet.data.images import Placement
from synet.data.left_out import LeftOut
from synet.data.yolo_yaml import Dataset, load_dataset, read_image
from synet.detections.detections import Detections
from synet.detections.score_shift import SURE, Shift, confidence_shift, float_twin
from synet.models.predictor import Predictor, decode, fit, load_predictor, require_torch
from synet.system.batches import in_batches
from synet.system.errors import DataError, SynetError
from synet.system.steps import giving_way, step
from synet.system.terminal import Terminal
from synet.tflite.kernels import FAST, Kernels

LOGGER = logging.getLogger("synet")
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What is on the images of a split, and what a model found there.

    Attributes
    ----------
    images
        The image files, without those that YOLO leaves out.
    labels
        For each image what is there, in its pixels, with a score of 1.
    found
        For each image what the model found, in its pixels, the highest score first.
    class_ids
        int ``(classes,)``: for each class of the model its id in the dataset, which is also what
        `labels` and `found` are numbered in; -1 for one that the dataset does not name.
    seconds
        Time to read the images and run the model.
    left_out
        What is wrong with each image that was left out.
    """

    images: tuple[Path, ...]
    labels: tuple[Detections, ...]
    found: tuple[Detections, ...]
    class_ids: np.ndarray
    seconds: float
    left_out: tuple[str, ...] = ()

    @cached_property
    def evaluation(self) -> COCOeval:
        """The two, matched by pycocotools at COCO's ten overlaps, which takes a while."""
        judged = [int(class_id) for class_id in self.class_ids if class_id >= 0]
        return coco_evaluation(self.labels, self.found, judged)

    @property
    def boxes(self) -> int:
        """How many labelled boxes there are of the classes that the model finds."""
        return sum(int(np.isin(each.classes, self.class_ids).sum()) for each in self.labels)


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
) -> Report:
    """Evaluate a ``.pt`` checkpoint or a ``.tflite`` file, both on the same letterboxed images.

    Parameters
    ----------
    model, image_shape, repo, kernels, device, batch
        As for `synet.models.predictor.load_predictor`; the last two of the float model, too.
    data
        The data yaml.
    split
        ``train``, ``val`` or ``test``.
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
    """
    dataset = load_dataset(data, strict)
    dataset.images(split)  # says what is missing before the model is loaded, which takes seconds
    twin = float_model or float_twin(model)
    require_torch([model, twin], device, batch)
    settings = {"device": device, "batch": batch}
    predictor = load_predictor(model, image_shape, repo, kernels=kernels, **settings)
    reference = _reference(twin, predictor, repo, settings, asked=float_model is not None)
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
    dataset = judged_by(predictor, dataset)
    result = find_all(predictor, dataset, split, confidence, iou, classes, progress, model)
    class_ids, shift = result.class_ids, None
    if reference is not None:
        title = f"its float twin on {split}"
        sure = _found_by(reference, dataset, split, class_ids, SURE, iou, title, progress)
        shift = confidence_shift(zip(result.found, sure.found, strict=True))

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


def judged_by(predictor: Predictor, dataset: Dataset) -> Dataset:
    """A data set as the YOLO reads it that trained a model: which images, which labels.

    One that was trained with ``single_cls`` has one class, and so has the data that judges it.
    """
    single, names = getattr(predictor, "single_class", False), dataset.names
    return replace(
        dataset,
        dialect=DIALECTS.get(getattr(predictor, "trained_by", ""), dataset.dialect),
        task=getattr(predictor, "task", ""),
        single_class=single,
        names=tuple(predictor.names) if single else names,
    )


def find_all(
    predictor: Predictor,
    dataset: Dataset,
    split: str = "val",
    confidence: float = 0.001,
    iou: float = 0.6,
    classes: Sequence[str] | None = None,
    progress: bool = True,
    model: str = "model",
    elsewhere: Collection[str] = (),
) -> Found:
    """Run a model on a labelled split; parameters as for `evaluate_predictor`.

    Parameters
    ----------
    elsewhere
        Classes that the model may find and `dataset` not name, because other data does: here they
        cannot be judged, and are left out.

    Raises
    ------
    DataError
        The data cannot be used, or its class names are not the model's.
    """
    dataset = judged_by(predictor, dataset)
    class_ids = ids_of_classes(predictor.names, dataset, classes, model, elsewhere)
    dataset.require_labels(split)
    title = f"{Path(model).name} on {split} of {dataset.yaml.name}"
    return _found_by(predictor, dataset, split, class_ids, confidence, iou, title, progress)


def _found_by(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    class_ids: np.ndarray,
    confidence: float,
    iou: float,
    title: str,
    progress: bool,
) -> Found:
    """What a model finds on a split."""

    def see(_: Path, image: np.ndarray) -> tuple[np.ndarray, Placement]:
        return fit(predictor, image)

    def find(seen: Sequence[tuple[np.ndarray, Placement]]) -> list[Detections]:
        pixels, placements = zip(*seen, strict=True)
        told = predictor.outputs_of(pixels)
        return [
            decode(each, placement, confidence, iou)
            for each, placement in zip(told, placements, strict=True)
        ]

    sizes = predictor.batch, predictor.at_once
    return collect(dataset, split, class_ids, see, title, progress, find, *sizes)


def collect(
    dataset: Dataset,
    split: str,
    class_ids: np.ndarray,
    see: Callable[[Path, np.ndarray], T],
    title: str,
    progress: bool = True,
    find: Callable[[Sequence[T]], Iterable[Detections]] = list,
    batch: int = 1,
    at_once: int = 1,
) -> Found:
    """Go through the images of a split: what is labelled there, and what is found.

    An image is left out, and told, if it or a label of it cannot be read.

    Parameters
    ----------
    class_ids
        As in `Found`.
    see
        From an image's file and its pixels, RGB, to what `find` takes of it.
    title
        Of the progress bar.
    find
        From what was seen of some images to what is found in each, in the model's class ids.
        Default: it is what was seen.
    batch
        So many images are given to `find`, at most.
    at_once
        So many times it runs at the same time, each in a thread of its own.

    Raises
    ------
    DataError
        An image or its labels cannot be read, and the data set is strict; or none can.
    """
    images, left_out = dataset.images(split), LeftOut(dataset, split)
    steps: Iterable[Path] = images
    if progress:
        steps = track(images, title, console=Terminal(stderr=True))

    def read(path: Path) -> tuple[np.ndarray, Detections]:
        image = dataset.image(path)
        return image, _labelled(path, dataset, image.shape[:2])

    def look(seen: Sequence[T]) -> list[Detections]:
        hits = (replace(each, classes=class_ids[each.classes]) for each in find(seen))
        return [each[each.classes >= 0] for each in hits]

    readable = left_out.readable(steps, read)
    items = ((path, labelled, see(path, image)) for path, (image, labelled) in readable)
    used, labels, runs, start = [], [], [], perf_counter()
    with giving_way(), ThreadPoolExecutor(at_once) as pool:
        for each in in_batches(items, batch):
            paths, labelled, seen = zip(*each, strict=True)
            used += paths
            labels += labelled
            runs.append(pool.submit(look, seen))
            if len(runs) >= at_once:  # no more images are held than are looked at
                runs[-at_once].result()
        found = [hits for run in runs for hits in run.result()]
    seconds = perf_counter() - start
    left_out.tell(len(images))
    problems = tuple(left_out.problems)
    return Found(tuple(used), tuple(labels), tuple(found), class_ids, seconds, problems)


def ids_of_classes(
    found: Sequence[str],
    dataset: Dataset,
    classes: Sequence[str] | None = None,
    model: str = "model",
    elsewhere: Collection[str] = (),
) -> np.ndarray:
    """For each class of a model, its id in the dataset.

    Parameters
    ----------
    found
        The names that the model gives its classes; ``"0"``, ``"1"``, ... where it gives none.
    dataset, classes, model, elsewhere
        As for `find_all`.

    Returns
    -------
    int ``(classes,)``; -1 for a class that only other data names.

    Raises
    ------
    DataError
        The dataset lacks a class, or as many names are not given as there are classes.
    """
    names = tuple(classes or found)
    if len(names) != len(found):
        raise DataError(f"{model}: finds {len(found)} classes, but {len(names)} are named: {names}")
    unnamed = tuple(str(index) for index in range(len(names)))
    if names in (dataset.names, unnamed) and len(names) == len(dataset.names):
        return np.arange(len(names))
    here = [name for name in names if name in dataset.names]
    unknown = [name for name in names if name not in {*here, *(elsewhere if here else ())}]
    if unknown:
        raise DataError(
            f"{model}: finds '{unknown[0]}', which {dataset.yaml} does not name; it has "
            f"{', '.join(dataset.names[:5])}{', ...' if len(dataset.names) > 5 else ''}; "
            "say in its terms what the model finds (--classes, in the model's order)"
        )
    return np.array([dataset.names.index(name) if name in here else -1 for name in names])


def ground_truth(dataset: Dataset, images: Iterable[str | Path]) -> list[Detections]:
    """The labelled boxes of each image, in its own pixels, clipped to it, with a score of 1.

    Raises
    ------
    DataError
        An image or its label file cannot be read.
    """
    return [_labelled(image, dataset, read_image(image).shape[:2]) for image in images]


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
    classes = [int(each) for each in classes]
    return precision_of(coco_evaluation(labels, found, classes), classes)


def precision_of(evaluation: COCOeval, classes: Sequence[int]) -> np.ndarray:
    """As `average_precision`, of what `coco_evaluation` has matched at COCO's ten overlaps."""
    with redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    # threshold, recall, class, area, most detections; -1 where a class has no label
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1)
    result = np.stack([precision[0], precision.mean(axis=0)], axis=1)
    places = np.searchsorted(evaluation.params.catIds, classes)
    return np.where(result < 0, np.nan, result)[places]


def coco_evaluation(
    labels: Sequence[Detections],
    found: Sequence[Detections],
    classes: Iterable[int],
    ious: Sequence[float] | None = None,
) -> COCOeval:
    """Let pycocotools match what was found with what is there, of boxes of every size.

    Parameters
    ----------
    labels, found, classes
        As for `average_precision`.
    ious
        The least overlaps of a match, one evaluation each. Default: COCO's ten.
    """
    step("matching what was found with the labels")
    classes = sorted({int(each) for each in classes})
    with redirect_stdout(io.StringIO()):  # pycocotools reports each of its steps
        evaluation = COCOeval(_coco(labels, classes), _coco(found, classes), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        if ious is not None:
            evaluation.params.iouThrs = np.asarray(ious, np.float64)
        evaluation.evaluate()
    return evaluation


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


def load_twin(
    twin: str | Path,
    predictor: Predictor,
    repo: str | Path | None,
    settings: Mapping[str, Any],
) -> Predictor:
    """The float model that a file was made of, at the shape of the file.

    Parameters
    ----------
    twin, repo, settings
        As for `synet.models.predictor.load_predictor`: ``device`` and ``batch``.
    predictor
        The file.

    Raises
    ------
    SynetError
        It cannot be run, or is no such model: it finds another number of classes.
    """
    reference = load_predictor(twin, predictor.image_shape, repo, **settings)
    if len(reference.names) != len(predictor.names):
        raise SynetError(
            f"{twin}: finds {len(reference.names)} classes, and the model "
            f"{len(predictor.names)}; give the model's own float twin with --float"
        )
    return reference


def _reference(
    twin: str | Path | None,
    predictor: Predictor,
    repo: str | Path | None,
    settings: Mapping[str, Any],
    asked: bool,
) -> Predictor | None:
    """The float twin; one that nobody asked for may be no such thing."""
    if twin is None:
        return None
    try:
        return load_twin(twin, predictor, repo, settings)
    except SynetError as error:
        if asked:
            raise
        LOGGER.warning("no confidence shift: %s", error)
        return None


def unique_name(dataset: Dataset, index: int) -> str:
    """The name of a class, with its id where another class has the same name."""
    name = dataset.names[index]
    return name if dataset.names.count(name) == 1 else f"{name} ({index})"


def _labelled(image: str | Path, dataset: Dataset, shape: tuple[int, int]) -> Detections:
    labels = dataset.labels(image)
    size = np.array(shape[::-1], np.float32)
    centre, half = labels[:, 1:3], labels[:, 3:5] / 2
    corners = [np.clip(centre - half, 0, 1) * size, np.clip(centre + half, 0, 1) * size]
    return Detections(np.concatenate(corners, axis=1), np.ones(len(labels)), labels[:, 0])
