"""The images that int8 scales are read from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synet.data import letterbox, load_dataset, read_image, to_channels
from synet.errors import SynetError

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
    """

    files: tuple[Path, ...]
    image_shape: tuple[int, int]
    channels: int
    source: str
    seed: int

    def __len__(self) -> int:
        return len(self.files) or INSPECTION

    def images(self) -> Iterator[np.ndarray]:
        """float32 (H, W, C), 0-1, letterboxed as in validation, one at a time."""
        for file in self.files:
            padded, _ = letterbox(read_image(file), self.image_shape)
            yield to_channels(padded, self.channels).astype(np.float32) / 255
        if not self.files:
            random = np.random.default_rng(self.seed)
            for _ in range(INSPECTION):
                yield random.random((*self.image_shape, self.channels), np.float32)


def calibration_for(
    data: str | Path | None, shape: tuple[int, int], channels: int, number: int, seed: int
) -> Calibration:
    """At most `number` images of the test split of `data`, else of its val split, chosen by `seed`.

    Without `data`, random images, and a warning that they are good for inspection only.

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
    dataset = load_dataset(data)
    split = dataset.calibration_split()
    files = dataset.images(split)
    chosen = np.random.default_rng(seed).permutation(len(files))[:number]
    source = f"{len(chosen)} of {len(files)} images of the {split} split of {data}"
    return Calibration(tuple(files[i] for i in chosen), shape, channels, source, seed)
