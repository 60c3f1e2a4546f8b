"""The images that int8 scales are read from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from synet.data import SPLITS, Dataset, letterbox, load_dataset, read_image, to_channels
from synet.datasets_dir import find_yaml
from synet.errors import SynetError
from synet.images import check_image
from synet.left_out import LeftOut

LOGGER = logging.getLogger("synet")

INSPECTION = 4  # random images, where there are no others


@dataclass(frozen=True)
class Calibration:
    """The images that int8 scales are read from.

    Parameters
    ----------
    files
        Images, in the order they are used; empty for random ones.
    image_shape, channels
        Of the model's input.
    source
        Where they come from, for people.
    seed
        Of the choice of files, or of the random images.
    whole
        Images fill the shape, as classifiers see them, and are not letterboxed.
    """

    files: tuple[Path, ...]
    image_shape: tuple[int, int]
    channels: int
    source: str
    seed: int
    whole: bool = False

    def __len__(self) -> int:
        return len(self.files) or INSPECTION

    def images(self) -> Iterator[np.ndarray]:
        """float32 (H, W, C), 0-1, fitted to the shape as in validation, one at a time."""
        for file in self.files:
            image = read_image(file)
            fit = filled if self.whole else lambda *given: letterbox(*given)[0]
            pixels = to_channels(fit(image, self.image_shape), self.channels)
            yield pixels.astype(np.float32) / 255
        if not self.files:
            random = np.random.default_rng(self.seed)
            for _ in range(INSPECTION):
                yield random.random((*self.image_shape, self.channels), np.float32)


def filled(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An image at another height and width, as ultralytics' classifiers are validated.

    The middle of it for a square; else the whole of it, stretched.
    """
    (height, width), (h, w) = shape, image.shape[:2]
    scale = max(height / h, width / w)
    size = (round(w * scale), round(h * scale)) if height == width else (width, height)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return image[top : top + height, left : left + width]


def calibration_for(
    data: str | Path | None,
    shape: tuple[int, int],
    channels: int,
    number: int,
    seed: int,
    whole: bool = False,
    strict: bool = False,
) -> Calibration:
    """At most `number` images of the test split of `data`, else of its val split, chosen by `seed`.

    Without `data`, random images, and a warning that they are good for inspection only. `data` may
    be a folder, in which a split is a folder, or that holds images itself. Images that cannot be
    read are left out, and told; an error where it is `strict`.

    Raises
    ------
    SynetError
        `number` is not at least 1; a `DataError` where the data cannot be used.
    """
    if number < 1:
        raise SynetError(f"number of calibration images: {number} is not at least 1")
    if data is None:
        LOGGER.warning(
            "no data set given: calibrated on random images, the file is for inspection only"
        )
        return Calibration((), shape, channels, "random images", seed)
    dataset = _dataset(Path(data), strict)
    split = dataset.calibration_split()
    files = dataset.images(split)
    order = np.random.default_rng(seed).permutation(len(files))
    chosen = _readable((files[i] for i in order), number, dataset, split)
    source = f"{len(chosen)} of {len(files)} images of the {split} split of {data}"
    return Calibration(tuple(chosen), shape, channels, source, seed, whole)


def _readable(files: Iterable[Path], number: int, dataset: Dataset, split: str) -> list[Path]:
    """The first `number` of `files` that YOLO takes for images."""
    left_out = LeftOut(dataset, split)
    readable = left_out.readable(files, lambda file: check_image(file, dataset.dialect))
    chosen = [file for file, _ in islice(readable, number)]
    left_out.tell(len(chosen) + len(left_out.problems))
    return chosen


def _dataset(data: Path, strict: bool) -> Dataset:
    """That of a data yaml, or of a folder, as ultralytics' classifiers have it."""
    if not data.is_dir() or find_yaml(data).is_file():
        return load_dataset(data, strict)
    splits = {split: (data / split,) for split in SPLITS if (data / split).is_dir()}
    return Dataset(data, (), splits or {"val": (data,)}, strict=strict)
