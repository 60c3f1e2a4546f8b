"""The images that int8 scales are read from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from synet.data.datasets_dir import find_yaml
from synet.data.images import check_image
from synet.data.left_out import LeftOut
from synet.data.yolo_yaml import SPLITS, Dataset, letterbox, load_dataset, read_image, to_channels
from synet.system.errors import DataError, SynetError

LOGGER = logging.getLogger("synet")

INSPECTION = 4  # random images, where there are no others
FAINT = 8  # levels of 255 by which pixels must differ, or they are noise
LIGHT, DIM = 99, 200  # percentile of an image's pixels, and what the best lit of a set reaches


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
            yield self._fitted(read_image(file))
        if not self.files:
            random = np.random.default_rng(self.seed)
            for _ in range(INSPECTION):
                yield random.random((*self.image_shape, self.channels), np.float32)

    def exposures(self) -> Iterator[np.ndarray]:
        """The `images`; where all are dark, each once more as a longer exposure would have it.

        Dark images make all ranges of a network short, and cut off what it makes of bright ones.
        """
        if not self.files:
            yield from self.images()
            return
        brightest = 1.0
        for file in self.files:
            image = read_image(file)
            brightest = max(brightest, float(np.percentile(image, LIGHT)))
            yield self._fitted(image)
        if brightest < DIM:
            LOGGER.warning(
                "%s: dark, next to no pixel is above %.0f of 255; calibrating on brightened copies "
                "of them, too",
                *(self.source, brightest),
            )
            for file in self.files:
                yield self._fitted(cv2.convertScaleAbs(read_image(file), alpha=255 / brightest))

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        fit = filled if self.whole else lambda *given: letterbox(*given)[0]
        pixels = to_channels(fit(image, self.image_shape), self.channels)
        return pixels.astype(np.float32) / 255


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
    data: str | Path,
    shape: tuple[int, int],
    channels: int,
    number: int,
    seed: int,
    whole: bool = False,
    strict: bool = False,
) -> Calibration:
    """At most `number` images of the test split of `data`, else of its val split, chosen by `seed`.

    `data` may be a folder, in which a split is a folder, or that holds images itself. Images that
    cannot be read are left out, and told; an error where it is `strict`.

    Raises
    ------
    SynetError
        `number` is not at least 1; a `DataError` where the data cannot be used, or its images say
        nothing.
    """
    if number < 1:
        raise SynetError(f"number of calibration images: {number} is not at least 1")
    dataset = _dataset(Path(data), strict)
    split = dataset.calibration_split()
    files = dataset.images(split)
    order = np.random.default_rng(seed).permutation(len(files))
    chosen = _readable((files[i] for i in order), number, dataset, split)
    source = f"{len(chosen)} of {len(files)} images of the {split} split of {data}"
    _refuse_blank(chosen, source)
    return Calibration(tuple(chosen), shape, channels, source, seed, whole)


def _refuse_blank(files: Sequence[Path], source: str) -> None:
    """Refuse images from which no range can be read: each of one colour, or all alike.

    Of a usable set the first two show it.
    """
    first = read_image(files[0])
    others = (read_image(file) for file in files[1:])
    is_plain = all(_is_plain(image) for image in chain([first], others))
    others = (read_image(file) for file in files[1:])
    is_alike = len(files) > 1 and all(_are_alike(first, image) for image in others)
    if is_plain or is_alike:
        what = "nothing but one colour" if is_plain else "all the same picture"
        raise DataError(
            f"{source}: {what}, so no int8 range can be read off them; "
            f"give images as the camera takes them with --data"
        )


def _is_plain(image: np.ndarray) -> bool:
    return bool(np.ptp(image, axis=(0, 1)).max() < FAINT)


def _are_alike(image: np.ndarray, other: np.ndarray) -> bool:
    return image.shape == other.shape and bool(cv2.absdiff(image, other).max() < FAINT)


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
