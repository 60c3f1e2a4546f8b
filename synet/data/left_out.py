"""What of a split is left out, as YOLO leaves it out, and told: no set shrinks without a word."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synet.data.images import MissingDecoder
from synet.system.errors import DataError

if TYPE_CHECKING:
    from synet.data.yolo_yaml import Dataset

_T = TypeVar("_T")
LOGGER = logging.getLogger("synet")
NAMED = 3  # of the images that cannot be read, the first
STRICT = "--strict makes this an error"


class LeftOut:
    """Collects what cannot be read of a split, to tell it in the end.

    Parameters
    ----------
    dataset, split
        Where it is from. Where `dataset` is strict, the first thing is an error.

    Raises
    ------
    DataError
        It is strict, and has images of kinds that its YOLO does not take.
    """

    def __init__(self, dataset: Dataset, split: str) -> None:
        self.problems: list[str] = []
        self._lacking: Counter[str] = Counter()  # of packages, by what is said of them
        self._dataset, self._place = dataset, f"{dataset.yaml}: {split}"
        others = dataset.other_images(split)
        if not others:
            return
        told = f"{self._place}: {told_of_kinds(others, dataset.dialect.name)}"
        if dataset.strict:
            raise DataError(f"{told}; convert, or do without --strict")
        self._warn(f"{told}; left out")

    def readable(
        self, files: Iterable[Path], read: Callable[[Path], _T]
    ) -> Iterator[tuple[Path, _T]]:
        """Each of `files` that can be read, with what `read` makes of it; others are left out.

        Raises
        ------
        DataError
            One cannot be read, and the data set is strict.
        """
        for file in files:
            try:
                content = read(file)
            except DataError as error:
                if self._dataset.strict:
                    raise
                self.problems.append(str(error))
                self._lacking.update([error.hint] if isinstance(error, MissingDecoder) else ())
            else:
                yield file, content

    def tell(self, images: int) -> None:
        """Warn of what was left out of so many images.

        Raises
        ------
        DataError
            That is all of them.
        """
        count = len(self.problems)
        if count and count == images:
            raise DataError(
                f"{self._place}: none of the {images} images can be used; the first: "
                f"{self.problems[0]}"
            )
        for hint, lacking in self._lacking.items():
            self._warn(f"{self._place}: {lacking} of {images} images cannot be read: {hint}")
        if count:
            more = f"; and {count - NAMED} more" if count > NAMED else ""
            first = "; ".join(self.problems[:NAMED])
            self._warn(
                f"{self._place}: left out {count} of {images} images, as YOLO does: "
                f"{first}{more}; {STRICT}"
            )

    def _warn(self, text: str) -> None:
        """Tell once, however many models look at the data."""
        if text not in self._dataset.told:
            self._dataset.told.add(text)
            LOGGER.warning("%s", text)


def told_of_kinds(others: Mapping[str, int], who: str) -> str:
    """How many images there are, by suffix, of kinds that somebody does not take."""
    ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in ranked)
    total = sum(others.values())
    files = "1 file is an image" if total == 1 else f"{total} files are images"
    return f"{files} of a kind that {who} does not take ({kinds})"
