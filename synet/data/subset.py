"""Some classes of a data set as a data set of their own: linked images, rewritten labels.

The steps, in the order in which `data_subset` reads: what is wanted, and whether it can be written
where it is wanted; every label read and checked; backgrounds chosen; and only then are the folders
filled, under private names beside their own, which they take together at the end.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml
from rich.progress import Progress

from synet.data.left_out import LeftOut
from synet.data.subset_images import READERS, Backgrounds, SubsetImage, check_images, images_of
from synet.data.subset_wanted import Wanted, folders_of, read_wanted
from synet.system.errors import DataError, SynetError
from synet.system.jobs import Job, run_jobs
from synet.system.staging import staged_together
from synet.system.terminal import Terminal

LOGGER = logging.getLogger("synet")

_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Count:
    """What a split holds.

    Attributes
    ----------
    images
        How many images.
    background
        How many of them have no box.
    boxes
        How many boxes, by class id.
    """

    images: int
    background: int
    boxes: Mapping[int, int]


@dataclass(frozen=True)
class Subset:
    """What `data_subset` made, or would make.

    Attributes
    ----------
    old, new
        The data yamls.
    old_names, new_names
        Class names, by class id.
    classes
        The new id of each old class that is wanted.
    before, after
        What is in each split of the old data set, and in the new one.
    folders
        The new folder of images of each split.
    class_map
        The file that says which class became which.
    skipped
        What is wrong with each image that ``skip_bad`` left out.
    """

    old: Path
    new: Path
    old_names: tuple[str, ...]
    new_names: tuple[str, ...]
    classes: Mapping[int, int]
    before: Mapping[str, Count]
    after: Mapping[str, Count]
    folders: Mapping[str, Path]
    class_map: Path
    skipped: tuple[str, ...]


def data_subset(
    old: str | Path,
    new: str | Path,
    max_bg_ratio: float = 1.0,
    seed: int = 0,
    *,
    copy: bool = False,
    skip_bad: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> Subset:
    """Make the data set that `new` describes of the images and labels of `old`.

    Images are links; labels keep their lines of the classes that `new` names, with new class ids
    and all other columns as they were. An image without such a line is background, with an empty
    label file. Folders below a split stay; files that would have the same name get a number. The
    run makes everything or leaves nothing, and writes to nothing that exists.

    Parameters
    ----------
    old, new
        Data yamls: `old` in any form that YOLO accepts; `new` with ``names`` of classes of `old`,
        and for each split that is wanted a folder that does not exist yet.
        ``merge: {vehicle: [car, bus]}`` makes one class of several.
    max_bg_ratio, seed
        At most this part of each split, 0 to 1, is background; the seed is of its choice.
    copy
        Copy the images, with their times and rights, and do not link them.
    skip_bad
        Leave out images that are missing or whose labels are broken.
    dry_run
        Write nothing.
    progress
        Whether to show progress bars on stderr.

    Raises
    ------
    SynetError
        A place that is taken, lies inside `old`, or cannot be written; a `DataError` where a yaml
        is malformed, a label is broken, told with file and line, or nothing is left.

    Examples
    --------
    >>> from pathlib import Path
    >>> from synet.data_subset import data_subset
    >>> wanted = "{path: few, train: images/train, names: [square, circle]}"
    >>> written = Path("few.yaml").write_text(wanted)
    >>> made = data_subset("my.yaml", "few.yaml", progress=False)
    >>> len(list(Path("few/images/train").iterdir()))
    2
    """
    backgrounds = Backgrounds(max_bg_ratio, seed)
    wanted = read_wanted(old, new)
    with Progress(console=Terminal(stderr=True), disable=not progress) as bars:
        subset, chosen = _settled(wanted, backgrounds, skip_bad, bars)
        if not dry_run:
            _write(wanted, chosen, _class_map_text(subset, backgrounds), copy, bars)
    return subset


def _settled(
    wanted: Wanted, backgrounds: Backgrounds, skip_bad: bool, bars: Progress
) -> tuple[Subset, dict[str, list[SubsetImage]]]:
    """What there is to be made, and of which images of each split; nothing is written yet."""
    dataset, definition = wanted.dataset, wanted.definition
    images = {split: images_of(dataset, split) for split in wanted.places}
    for split in images:
        LeftOut(dataset, split)  # tells of images that YOLO does not see
    check_images(dataset, wanted.classes, images, bars)
    skipped = tuple(image.problem for image in chain(*images.values()) if image.problem)
    if skipped and not skip_bad:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DataError(f"{skipped[0]}{more}; mend it, or leave such images out by --skip-bad")
    chosen = {split: backgrounds.chosen(images[split]) for split in images}
    subset = Subset(
        dataset.yaml,
        definition.yaml,
        dataset.names,
        definition.names,
        wanted.classes,
        {split: _count(images[split], "before") for split in images},
        {split: _count(chosen[split], "after") for split in chosen},
        {split: place.images for split, place in wanted.places.items()},
        wanted.class_map,
        skipped,
    )
    _refuse_empty(subset, images)
    return subset, chosen


def _count(images: list[SubsetImage], when: str) -> Count:
    sound = [getattr(image, when) for image in images if not image.problem]
    return Count(len(images), sum(not boxes for boxes in sound), Counter(chain(*sound)))


def _refuse_empty(subset: Subset, images: Mapping[str, list[SubsetImage]]) -> None:
    names = ", ".join(subset.old_names[old] for old in subset.classes)
    for split, before in subset.before.items():
        sound = [image for image in images[split] if not image.problem]
        where = f"{subset.old}: {split}"
        if not sound:
            raise DataError(f"{where}: nothing left, all of the {before.images} images are broken")
        if not before.boxes:
            raise DataError(
                f"{where}: none of the {before.images} images has labels; looked for "
                f"{sound[0].label} and the like"
            )
        if not subset.after[split].images:
            raise DataError(
                f"{where}: no image shows {names}, so that nothing would be left; take {split} "
                f"out of {subset.new}, or keep background by --max-bg-ratio 1"
            )
    if not any(after.boxes for after in subset.after.values()):
        raise DataError(f"{subset.old}: no image of {', '.join(subset.after)} shows {names}")


def _write(
    wanted: Wanted,
    images_of_split: Mapping[str, list[SubsetImage]],
    text: str,
    copy: bool,
    bars: Progress,
) -> None:
    """Make the folders of each split and the class map with its `text`: all, or none."""
    # images last: a folder of images alone would look like a finished split
    folders = reversed(folders_of(wanted.places.values()))
    with staged_together(folders, wanted.class_map, text) as staged:
        labels, images = [], []
        for split, chosen in images_of_split.items():
            place = wanted.places[split]
            into_labels, into_images = staged[place.labels], staged[place.images]
            for below in {os.path.dirname(image.name) for image in chosen}:
                (into_labels / below).mkdir(parents=True, exist_ok=True)
                (into_images / below).mkdir(parents=True, exist_ok=True)
            labels += [(f"{into_labels}{os.sep}{image.stem}.txt", image.rows) for image in chosen]
            images += [(f"{into_images}{os.sep}{image.name}", image.original) for image in chosen]
        # a thread for each kind of folder: a folder is locked while a file is made in it
        jobs = [Job("write labels", _write_label, labels)]
        if copy:
            jobs.append(Job("copy images", _copy_image, images, READERS))
        else:
            jobs.append(Job("link images", _link_image, images))
        run_jobs(jobs, bars)


def _write_label(label: tuple[str, bytes]) -> None:
    path, rows = label
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        while rows:
            rows = rows[os.write(handle, rows) :]
    finally:
        os.close(handle)


def _link_image(image: tuple[str, str]) -> None:
    path, original = image
    try:
        os.symlink(original, path)
    except OSError as error:
        reason = error.strerror or error
        raise SynetError(f"cannot link {path}: {reason} (--copy does without links)") from None


def _copy_image(image: tuple[str, str]) -> None:
    path, original = image
    shutil.copy2(original, path)


def _class_map_text(subset: Subset, backgrounds: Backgrounds) -> str:
    content = {
        "old": os.path.abspath(subset.old),
        "new": os.path.abspath(subset.new),
        "max_bg_ratio": float(backgrounds.most),
        "seed": backgrounds.seed,
        "map": dict(subset.classes),
        "old_names": {old: subset.old_names[old] for old in subset.classes},
        "new_names": dict(enumerate(subset.new_names)),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
