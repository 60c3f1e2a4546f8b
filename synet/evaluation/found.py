"""What a model finds on the images of a split, beside what is labelled there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
from pycocotools.cocoeval import COCOeval
from rich.progress import track

from synet.data.dialects import DIALECTS
from synet.data.images import Placement
from synet.data.left_out import LeftOut
from synet.data.yolo_yaml import Dataset, read_image
from synet.detections.detections import Detections
from synet.evaluation.class_names import ids_of_classes
from synet.evaluation.coco_matching import coco_evaluation
from synet.models.decode import decode
from synet.models.detect import fit
from synet.models.predictor import Predictor
from synet.system.batches import in_batches
from synet.system.steps import giving_way
from synet.system.terminal import Terminal

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
    """Run a model on a labelled split.

    Parameters
    ----------
    predictor, split, confidence, iou, classes, progress, model
        As for `synet.evaluation.evaluate.evaluate_predictor`.
    dataset
        As the model reads it, see `judged_by`.
    elsewhere
        Classes that the model may find and `dataset` not name, because other data does: here they
        cannot be judged, and are left out.

    Raises
    ------
    DataError
        The data cannot be used, or its class names are not the model's.
    """
    class_ids = ids_of_classes(predictor.names, dataset, classes, model, elsewhere)
    dataset.require_labels(split)
    title = f"{Path(model).name} on {split} of {dataset.yaml.name}"
    return found_by(predictor, dataset, split, class_ids, confidence, iou, title, progress)


def found_by(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    class_ids: np.ndarray,
    confidence: float,
    iou: float,
    title: str,
    progress: bool,
) -> Found:
    """As `find_all`, of a model whose classes are known to be `class_ids`; `title` is the bar's."""

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
    start = perf_counter()
    used, labels, found = _looked_at(items, look, batch, at_once)
    seconds = perf_counter() - start
    left_out.tell(len(images))
    return Found(used, labels, found, class_ids, seconds, tuple(left_out.problems))


def _looked_at(
    items: Iterable[tuple[Path, Detections, T]],
    look: Callable[[Sequence[T]], list[Detections]],
    batch: int,
    at_once: int,
) -> tuple[tuple[Path, ...], tuple[Detections, ...], tuple[Detections, ...]]:
    """The files of the items, their labels, and what `look` finds of what was seen of each."""
    used, labels, runs = [], [], []
    with giving_way(), ThreadPoolExecutor(at_once) as pool:
        for each in in_batches(items, batch):
            paths, labelled, seen = zip(*each, strict=True)
            used += paths
            labels += labelled
            runs.append(pool.submit(look, seen))
            if len(runs) >= at_once:  # no more images are held than are looked at
                runs[-at_once].result()
        found = [hits for run in runs for hits in run.result()]
    return tuple(used), tuple(labels), tuple(found)


def ground_truth(dataset: Dataset, images: Iterable[str | Path]) -> list[Detections]:
    """The labelled boxes of each image, in its own pixels, clipped to it, with a score of 1.

    Raises
    ------
    DataError
        An image or its label file cannot be read.
    """
    return [_labelled(image, dataset, read_image(image).shape[:2]) for image in images]


def _labelled(image: str | Path, dataset: Dataset, shape: tuple[int, int]) -> Detections:
    labels = dataset.labels(image)
    size = np.array(shape[::-1], np.float32)
    centre, half = labels[:, 1:3], labels[:, 3:5] / 2
    corners = [np.clip(centre - half, 0, 1) * size, np.clip(centre + half, 0, 1) * size]
    return Detections(np.concatenate(corners, axis=1), np.ones(len(labels)), labels[:, 0])
