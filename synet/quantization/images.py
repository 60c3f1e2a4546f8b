"""The images that a user gives to calibrate on, or none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from synet.data.calibration import Calibration, calibration_for
from synet.export.convert import random_calibration
from synet.system.errors import SynetError

LOGGER = logging.getLogger("synet")


@dataclass(frozen=True)
class Images:
    """What a user says of the images to calibrate on.

    Parameters
    ----------
    data
        Data yaml in YOLO format, or a classifier's folder. Its test split, else its val split,
        calibrates. None for random images: good for looking at the file, not for using it.
    number
        How many at most.
    seed
        Of the choice of images.
    strict
        As for `synet.data.calibration.calibration_for`.
    """

    data: str | Path | None
    number: int
    seed: int
    strict: bool = False

    def calibration(self, shape: tuple[int, int], channels: int, whole: bool) -> Calibration:
        """The images as a model takes them; without data random ones, and a warning."""
        if self.data is not None:
            return calibration_for(
                self.data, shape, channels, self.number, self.seed, whole, self.strict
            )
        if self.number < 1:
            raise SynetError(f"number of calibration images: {self.number} is not at least 1")
        LOGGER.warning(
            "no data set given: calibrated on random images, the file is for inspection only, and "
            "not proven"
        )
        return random_calibration(shape, channels, self.seed)
