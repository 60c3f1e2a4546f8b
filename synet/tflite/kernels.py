"""Which of LiteRT's kernels run a file, and how far the fast ones are off the reference.

Chips and their compilers are tested against the reference kernels, which TFLite Micro equals bit
for bit; so these judge a file, picture by picture. Measured on one core, an image takes them 0.10 s
(katana-kqvga, 240x320) to 0.49 s (a vendor's detector, 480x640), where the fast ones take 1.1 and
9.6 ms: 50 to 110 times less. So the fast ones go through the thousands of images of a split, whose
average precision differs by 0.03 points, and the first images run on both, to tell how far apart
they are.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synet.tflite.model import TfliteModel
from synet.tflite.trial import FAST, REFERENCE, Refused

__all__ = ["FAST", "REFERENCE", "SAMPLE", "Kernels", "kernels_of", "open_model"]

LOGGER = logging.getLogger("synet")

SAMPLE = 8  # images that run on both


@dataclass(frozen=True)
class Kernels:
    """What a file ran on.

    Attributes
    ----------
    name
        ``reference`` or ``fast``.
    images
        So many of the first ones ran on the reference kernels, too.
    steps
        The largest difference of a value there, in steps of what the file stores: of 255.
    share
        The part of all values that differ, 0 to 1.
    alone
        Whether the reference kernels do not run the file, so that nothing is known of that.
    """

    name: str
    images: int = 0
    steps: int = 0
    share: float = 0.0
    alone: bool = False

    def __str__(self) -> str:
        if self.alone:
            return f"{self.name} kernels, as the reference kernels do not run the file"
        if not self.images:
            return f"{self.name} kernels"
        return (
            f"{self.name} kernels, up to {self.steps} of 255 steps off the reference in "
            f"{self.share:.0%} of the values of {self.images} images"
        )


class CheckedModel(TfliteModel):
    """A file on the fast kernels, whose first images run on the reference kernels as well.

    Parameters
    ----------
    source, threads
        As for `TfliteModel`.
    reference
        The file on those; None where they do not run it.
    images
        How many.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        threads: int | None,
        reference: TfliteModel | None,
        images: int,
    ) -> None:
        super().__init__(source, threads, FAST)
        self._reference, self._wanted, self._seen = reference, images, 0
        self._apart = [np.zeros(1, int)]

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:  # noqa: D102
        found = super().run(image)
        # one colour says nothing of kernels
        if self._reference and self._seen < self._wanted and np.ptp(image):
            self._seen += 1
            exact = self._reference.run(image)
            for port in self.outputs:
                self._apart.append(_steps(found[port.name], exact[port.name], port.scale))
        return found

    @property
    def told(self) -> Kernels:
        """What it ran on, as far as it has."""
        apart = np.concatenate(self._apart)
        steps, share = int(apart.max()), float((apart > 0).mean())
        return Kernels(self.kernels, self._seen, steps, share, alone=self._reference is None)


def open_model(
    source: str | Path | bytes,
    threads: int | None = None,
    kernels: str = REFERENCE,
    checked: int = 0,
) -> TfliteModel:
    """As `TfliteModel`; on the fast kernels, with a warning, where there is no reference kernel.

    Parameters
    ----------
    threads
        As for `TfliteModel`.
    kernels
        The ``reference`` ones, which chips are tested against, or the ``fast`` ones.
    checked
        On the fast ones: so many images run on the reference kernels as well, and the difference
        is told.
    """
    if kernels == FAST and not checked:
        return TfliteModel(source, threads, FAST)
    try:
        reference = TfliteModel(source, threads, REFERENCE)
    except Refused as error:
        model = CheckedModel(source, threads, None, 0)
        LOGGER.warning(
            "%s does not run on the reference kernels: the fast kernels run, which may be off by "
            "some steps (%s)",
            *(error.name, error.why),
        )
        return model
    if kernels == REFERENCE:
        return reference
    return CheckedModel(source, threads, reference, checked)


def kernels_of(model: TfliteModel) -> Kernels:
    """What a model runs on."""
    return model.told if isinstance(model, CheckedModel) else Kernels(model.kernels)


def _steps(found: np.ndarray, exact: np.ndarray, scale: float) -> np.ndarray:
    """Differences in steps; of an output that is told in float, in 255ths of its range."""
    step = scale or float(np.ptp(exact)) / 255 or 1.0
    return np.rint(np.abs(found - exact) / step).astype(int).ravel()
