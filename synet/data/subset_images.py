"""The images of a data set, and what becomes of each in a part of it."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count, groupby
from pathlib import Path

import numpy as np
from rich.progress import Progress

from synet.data.labels import Rules, parsed
from synet.data.text_files import read_bytes
from synet.data.yolo_yaml import Dataset, label_path
from synet.system.errors import DataError, SynetError
from synet.system.jobs import Job, run_jobs

READERS = 4  # threads: more than processors, because a cold disk is what they wait for


@dataclass(slots=True)
class SubsetImage:
    """An image of the old data set, and what becomes of it.

    `name` and `stem` are those of the new files, below the split's folders. Known once the image
    has been checked: what `original` leads to, if it is a link; the `rows` of the new label file;
    the boxes `before` and `after`; and the `problem`, if there is one.
    """

    original: str
    label: str
    name: str
    stem: str
    rows: bytes = b""
    before: tuple[int, ...] = ()  # class ids, one a box
    after: tuple[int, ...] = ()
    problem: str = ""


def images_of(dataset: Dataset, split: str) -> list[SubsetImage]:
    """The images of a split, with the names that they get."""
    files = [os.path.split(file) for file in dataset.image_files(split)]
    sources = dataset.sources[split]
    tops = {folder for folder, _ in files}
    if len(sources) == 1 and sources[0].is_dir():
        tops = {str(sources[0])}
    top = os.path.commonpath(tops)
    images, taken = [], set()
    for folder, group in groupby(files, key=lambda file: file[0]):
        labels = str(label_path(os.path.join(folder, "image.jpg")).parent)
        real = os.path.realpath(folder)
        # without a folder named images, which would draw the labels to another place
        parts = [part for part in Path(os.path.relpath(folder, top)).parts if part != "images"]
        below = "".join(f"{part}{os.sep}" for part in parts)
        for _, name in group:
            stem, suffix = os.path.splitext(name)
            new = below + stem
            if new.lower() in taken:  # lower: some file systems do not tell A.jpg from a.jpg
                numbered = (f"{new}-{number}" for number in count(2))
                new = next(each for each in numbered if each.lower() not in taken)
            taken.add(new.lower())
            label = f"{labels}{os.sep}{stem}.txt"
            images.append(SubsetImage(f"{real}{os.sep}{name}", label, new + suffix, new))
    return images


def check_images(
    dataset: Dataset,
    classes: Mapping[int, int],
    images: Mapping[str, list[SubsetImage]],
    bars: Progress,
) -> None:
    """Read the labels of all images, and see that the images are there."""

    rules = dataset.rules

    def check(image: SubsetImage) -> None:
        try:
            _find_original(image)
            _read_label(image, rules, classes)
        except DataError as error:
            image.problem = str(error)

    run_jobs([Job("check labels", check, list(chain(*images.values())), READERS)], bars)


def _find_original(image: SubsetImage) -> None:
    try:
        if stat.S_ISREG(os.lstat(image.original).st_mode):
            return
        kind = os.stat(image.original).st_mode
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{image.original}: cannot read the image: {reason}") from None
    if not stat.S_ISREG(kind):
        raise DataError(f"{image.original}: not an image but something else of its name")
    image.original = os.path.realpath(image.original)


def _read_label(image: SubsetImage, rules: Rules, classes: Mapping[int, int]) -> None:
    lines = read_bytes(image.label, "labels").removeprefix(codecs.BOM_UTF8).splitlines()
    labels = parsed(image.label, lines, rules)
    kept = [label for label in labels if label.class_id in classes]
    image.before = tuple(label.class_id for label in labels)
    image.after = tuple(classes[label.class_id] for label in kept)
    rests = (lines[label.line].split(None, 1)[1].rstrip() for label in kept)
    image.rows = b"".join(map(b"%d %s\n".__mod__, zip(image.after, rests, strict=True)))


@dataclass(frozen=True)
class Backgrounds:
    """Which images without a box are kept.

    Attributes
    ----------
    most
        At most this part of a split, 0 to 1, is background.
    seed
        Of the choice.
    """

    most: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 1:
            raise SynetError(f"max_bg_ratio: {self.most:g} is not a fraction from 0 to 1")

    def chosen(self, images: Iterable[SubsetImage]) -> list[SubsetImage]:
        """The images that are kept, in their order: all with boxes, and others as may be."""
        whole = [image for image in images if not image.problem]
        background = [i for i, image in enumerate(whole) if not image.after]
        if self.most < 1:
            ratio = Fraction(str(self.most))  # exact: 0.1 of 10 images is one of them
            most = int(ratio * (len(whole) - len(background)) / (1 - ratio))
            order = np.random.default_rng(self.seed).permutation(len(background))
            dropped = {background[i] for i in order[most:]}
            whole = [image for i, image in enumerate(whole) if i not in dropped]
        return whole
