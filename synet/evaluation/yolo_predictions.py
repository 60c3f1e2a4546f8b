"""Predictions on disk, as YOLO writes them with ``save_txt`` and ``save_conf``."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from synet.data.text_files import LineError, check_places, located, read_lines, rows_of
from synet.data.yolo_yaml import Dataset
from synet.detections.detections import Detections
from synet.evaluation.class_names import ids_of_classes
from synet.evaluation.found import Found, collect
from synet.system.errors import DataError

LOGGER = logging.getLogger("synet")
FORM = "a line is 'class x y width height confidence', in 0-1"
CUT = 0.05  # what starts above lacks the end of the precision-recall curve


def read_predictions(
    folder: str | Path,
    dataset: Dataset,
    split: str = "val",
    classes: Sequence[str] | None = None,
    progress: bool = True,
    elsewhere: Collection[str] = (),
) -> Found:
    """What a YOLO has written of the images of a split: a file for each that it found anything in.

    Parameters
    ----------
    folder
        The run's folder, with ``labels`` in it, or that folder itself.
    dataset, split
        The data that was predicted on.
    classes
        What the class ids of the files stand for. Default: what they stand for in `dataset`.
    progress
        Whether to show a progress bar on stderr.
    elsewhere
        As for `synet.evaluation.found.find_all`.

    Raises
    ------
    DataError
        A line is malformed (the message has file and line number), no file is of an image of the
        split, or the data cannot be used.
    """
    folder = Path(folder)
    place = files_folder(folder)
    names = tuple(classes or dataset.names)
    class_ids = ids_of_classes(names, dataset, names, str(folder), elsewhere)
    dataset.require_labels(split)
    images = dataset.images(split)
    _require_files(place, images, split)
    lowest = 1.0

    def find(path: Path, image: np.ndarray) -> Detections:
        nonlocal lowest
        rows = _read(place / f"{path.stem}.txt", len(names))
        lowest = min(lowest, *rows[:, 5]) if len(rows) else lowest
        size = np.tile(image.shape[1::-1], 2)
        corners = np.concatenate(
            [rows[:, 1:3] - rows[:, 3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2], axis=1
        )
        found = Detections(corners * size, rows[:, 5], rows[:, 0])
        return found[np.argsort(-found.scores, kind="stable")]

    title = f"{folder.name} on {split} of {dataset.yaml.name}"
    result = collect(dataset, split, class_ids, find, title, progress)
    if lowest > CUT:
        LOGGER.warning(
            "%s: no prediction has a confidence below %.2g, so precision beyond that recall counts "
            "as 0; predict with --conf-thres 0.001 (ultralytics: conf=0.001)",
            folder,
            lowest,
        )
    return result


def files_folder(folder: str | Path) -> Path:
    """Where the files of a run lie: in its ``labels``, or in itself.

    Raises
    ------
    DataError
        There are none.
    """
    folder = Path(folder)
    for place in (folder / "labels", folder):
        if any(place.glob("*.txt")):
            return place
    there = "no .txt files in this folder or its 'labels'" if folder.is_dir() else "no such folder"
    raise DataError(f"{folder}: {there}; YOLO writes them with --save-txt --save-conf")


def _require_files(place: Path, images: Sequence[Path], split: str) -> None:
    wanted: dict[str, Path] = {}
    for image in images:
        other = wanted.setdefault(image.stem, image)
        if other != image:
            raise DataError(f"{place}: {image.stem}.txt may be of {other} or of {image}")
    files = {file.stem for file in place.glob("*.txt")}
    strange = sorted(files - wanted.keys())
    if len(strange) == len(files):
        raise DataError(
            f"{place}: none of its {len(files)} files is of an image of {split}; "
            f"{strange[0]}.txt is there, looked for {images[0].stem}.txt and the like"
        )
    if strange:
        LOGGER.warning(
            "%s: %d files are of no image of %s and left out, %s.txt the first",
            place,
            len(strange),
            split,
            strange[0],
        )


def _read(path: Path, classes: int) -> np.ndarray:
    """Class, box and confidence of each line, float64 ``(N, 6)``."""
    with located(path, FORM):
        rows = rows_of(read_lines(path, "predictions"), classes)
        for number, row in rows.items():
            if len(row) == 5:
                problem = "no confidence; let YOLO write it with --save-conf (save_conf=True)"
                raise LineError(number, problem)
            if len(row) != 6:
                raise LineError(number, f"{len(row)} numbers")
            check_places(number, row[1:])
    return np.array([*rows.values()], np.float64).reshape(-1, 6)
