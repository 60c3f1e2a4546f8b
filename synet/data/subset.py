"""Some classes of a data set as a data set of their own: linked images, rewritten labels.

The steps, in the order in which `data_subset` reads: what is wanted, and whether it can be written
where it is wanted; every label read and checked; backgrounds chosen; and only then are the folders
filled, under private names beside their own, which they take together at the end.
"""

from __future__ import annotations

import difflib
import logging
import os
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count, groupby, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from rich.markup import escape
from rich.progress import Progress, TaskID

from synet.data.labels import Rules, parsed
from synet.data.left_out import LeftOut
from synet.data.yolo_yaml import Dataset, Definition, label_path, load_dataset, read_definition
from synet.system.errors import DataError, SynetError
from synet.system.files import regular_bytes
from synet.system.staging import refuse_taken, staged_together, undo_killed
from synet.system.terminal import Terminal

if TYPE_CHECKING:
    from rich.table import Table

LOGGER = logging.getLogger("synet")

READERS = 4  # threads: more than processors, because a cold disk is what they wait for
CHUNK = 256  # images between two steps of the progress bar
MODEL_KEYS = ("kpt_shape", "flip_idx", "channels")  # of a data yaml, what the model depends on
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

    def table(self) -> Table:
        """Images, background and boxes of each class, in each split, before and after."""
        from synet.system.terminal import NameTable

        table = NameTable("", wrapped=("",))
        for split in self.before:
            table.add_column(f"{split}\nbefore", justify="right")
            table.add_column("\nafter", justify="right")
        pairs = [(self.before[split], self.after[split]) for split in self.before]
        for row in ("images", "background"):
            table.add_row(row, *(f"{getattr(each, row):,}" for pair in pairs for each in pair))
        table.add_section()
        for new, name in enumerate(self.new_names):
            olds = [old for old, into in self.classes.items() if into == new]
            merged = [self.old_names[old] for old in olds]
            title = name if merged == [name] else f"{name} ({', '.join(merged)})"
            cells = ((sum(old.boxes[i] for i in olds), then.boxes[new]) for old, then in pairs)
            table.add_row(f"{new} {title}", *(f"{each:,}" for pair in cells for each in pair))
        left = [sum(n for i, n in old.boxes.items() if i not in self.classes) for old, _ in pairs]
        table.add_row("other classes", *(cell for each in left for cell in (f"{each:,}", "")))
        return table


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

    Images are linked to the original files; labels keep their lines of the classes that `new`
    names, with new class ids and all other columns as they were. An image without such a line is
    background, and has an empty label file. Folders below a split stay; files that would have the
    same name get a number. Nothing that exists is written to: the run either makes everything or
    leaves nothing.

    Parameters
    ----------
    old
        Data yaml, in any form that YOLO accepts.
    new
        Data yaml: ``names`` of classes of `old`, and for each split that is wanted a folder that
        does not exist yet. ``merge: {vehicle: [car, bus]}`` makes one class of several.
    max_bg_ratio
        At most this part of each split, 0 to 1, is background.
    seed
        Of the choice of backgrounds.
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
    DataError
        A yaml is malformed; a label is broken, told with file and line; nothing is left.
    SynetError
        A place that is taken, lies inside `old`, or cannot be written.

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
    if not 0 <= max_bg_ratio <= 1:
        raise SynetError(f"max_bg_ratio: {max_bg_ratio:g} is not a fraction from 0 to 1")
    dataset, definition = load_dataset(old), read_definition(new)
    if os.path.samefile(dataset.yaml, definition.yaml):
        raise DataError(f"{new}: OLD and NEW are the same file")
    classes = _classes(dataset, definition)
    places = _places(dataset, definition)
    class_map = Path(os.path.abspath(definition.root)) / f"{definition.yaml.stem}-classes.yaml"
    made = [*_folders(places.values()), class_map]
    _refuse_old(dataset, definition.yaml, made)
    undo_killed(made)
    refuse_taken(made)
    _warn_of_keys(read_definition(dataset.yaml), definition)

    with Progress(console=Terminal(stderr=True), disable=not progress) as bars:
        images = {split: _images(dataset, split) for split in places}
        for split in places:
            LeftOut(dataset, split)  # tells of images that YOLO does not see
        _check(dataset, classes, images, bars)
        skipped = tuple(image.problem for image in chain(*images.values()) if image.problem)
        if skipped and not skip_bad:
            more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
            raise DataError(f"{skipped[0]}{more}; mend it, or leave such images out by --skip-bad")
        chosen = {split: _chosen(images[split], max_bg_ratio, seed) for split in images}
        subset = Subset(
            dataset.yaml,
            definition.yaml,
            dataset.names,
            definition.names,
            classes,
            {split: _count(images[split], "before") for split in images},
            {split: _count(chosen[split], "after") for split in chosen},
            {split: place.images for split, place in places.items()},
            class_map,
            skipped,
        )
        _refuse_empty(subset, images)
        if not dry_run:
            text = _class_map_text(subset, max_bg_ratio, seed)
            splits = [(places[split], chosen[split]) for split in places]
            _write(splits, class_map, text, copy, bars)
    return subset


# --- what is wanted -------------------------------------------------------------------------------


def _classes(dataset: Dataset, definition: Definition) -> dict[int, int]:
    """The new id of each old class that `definition` names."""
    path, merge = definition.yaml, definition.content.get("merge") or {}
    if not isinstance(merge, dict):
        raise DataError(f"{path}: merge: expected 'new class: [old classes]', found {merge!r}")
    merge = {str(name): olds if isinstance(olds, list) else [olds] for name, olds in merge.items()}
    for name in merge:
        if name not in definition.names:
            raise DataError(
                f"{path}: merge: {name} is not one of its names{_near(name, definition.names)}"
            )
        if not merge[name]:
            raise DataError(f"{path}: merge: {name}: name the classes that it is made of")
    for name, times in Counter(definition.names).items():
        if times > 1:
            raise DataError(f"{path}: names: {name} stands there {times} times")
    classes: dict[int, int] = {}
    for new, name in enumerate(definition.names):
        for each in map(str, merge.get(name, [name])):
            ids = [i for i, old_name in enumerate(dataset.names) if old_name == each]
            if not ids:
                raise DataError(
                    f"{path}: {dataset.yaml} has no class '{each}'{_near(each, dataset.names)}"
                )
            for old in ids:
                if old in classes:
                    other = definition.names[classes[old]]
                    twice = f"twice in {name}" if other == name else f"in {other} and in {name}"
                    raise DataError(
                        f"{path}: class '{each}' of {dataset.yaml} is {twice}; once only"
                    )
                classes[old] = new
    return dict(sorted(classes.items()))


def _near(name: str, names: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3)
    return f"; did you mean {' or '.join(by_lower[each] for each in near)}?" if near else ""


@dataclass(frozen=True)
class _Place:
    """The folders of a split that is to be made; one and the same where YOLO expects them to be."""

    images: Path
    labels: Path


def _places(dataset: Dataset, definition: Definition) -> dict[str, _Place]:
    """The folders that `definition` names, seen to be apart from each other."""
    path, places = definition.yaml, {}
    if not definition.entries:
        raise DataError(f"{path}: no split; name the folders to make, e.g. train: images/train")
    for split, entries in definition.entries.items():
        if split not in dataset.sources:
            there = ", ".join(dataset.sources) or "none at all"
            raise DataError(f"{path}: {dataset.yaml} has no split '{split}'; it has {there}")
        if len(entries) > 1 or entries[0].endswith(".txt"):
            raise DataError(f"{path}: {split}: name one folder to make, not {', '.join(entries)}")
        images = Path(os.path.abspath(definition.root / entries[0]))
        places[split] = _Place(images, label_path(images / "image.jpg").parent)
        # ultralytics resolves links before it looks for a folder named images
        resolved = Path(os.path.realpath(images.parent), images.name)
        resolved = label_path(resolved / "image.jpg").parent
        if os.path.realpath(places[split].labels) != os.path.realpath(resolved):
            raise DataError(
                f"{path}: {split}: {images} leads over a link, behind which YOLOs look for labels "
                f"in {resolved}; name the folder without the link"
            )
    _refuse_nested(path, places)
    return places


def _refuse_nested(path: Path, places: Mapping[str, _Place]) -> None:
    for split, other in permutations(places, 2):
        outer = {os.path.realpath(folder): folder for folder in _folders([places[other]])}
        for folder in _folders([places[split]]):
            if found := _around(folder, outer):
                raise DataError(f"{path}: {split}: {folder} lies in {found} of {other}; part them")


def _refuse_old(dataset: Dataset, path: Path, made: Iterable[Path]) -> None:
    """Keep what is made out of the folders of `dataset`."""
    images = dataset.image_folders()
    labels = {label_path(os.path.join(folder, "image.jpg")).parent for folder in images}
    outer = {os.path.realpath(folder): Path(folder) for folder in images | labels}
    for folder in made:
        if found := _around(folder, outer):
            raise DataError(
                f"{path}: {folder} lies in {found} of {dataset.yaml}, which stays as it is; "
                "name a place elsewhere"
            )


def _around(path: Path, folders: Mapping[str, Path]) -> Path | None:
    """Which of `folders`, by their real paths, is `path` or holds it."""
    real = Path(os.path.realpath(path))
    return next(
        (folders[str(each)] for each in (real, *real.parents) if str(each) in folders), None
    )


def _folders(places: Iterable[_Place]) -> list[Path]:
    """Images before labels, or the one folder that holds both."""
    return [folder for each in places for folder in dict.fromkeys((each.images, each.labels))]


def _warn_of_keys(old: Definition, new: Definition) -> None:
    for key in MODEL_KEYS:
        was, is_now = old.content.get(key), new.content.get(key)
        if was is not None and was != is_now:
            now = "has none" if is_now is None else f"says {is_now}"
            LOGGER.warning("%s says %s: %s, but %s %s", old.yaml, key, was, new.yaml, now)


# --- what there is --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Image:
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


def _images(dataset: Dataset, split: str) -> list[_Image]:
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
            images.append(_Image(f"{real}{os.sep}{name}", label, new + suffix, new))
    return images


def _check(
    dataset: Dataset,
    classes: Mapping[int, int],
    images: Mapping[str, list[_Image]],
    bars: Progress,
) -> None:
    """Read the labels of all images, and see that the images are there."""

    rules = dataset.rules

    def check(image: _Image) -> None:
        try:
            _find_original(image)
            _read_label(image, rules, classes)
        except DataError as error:
            image.problem = str(error)

    _run([_Job("check labels", check, list(chain(*images.values())), READERS)], bars)


def _find_original(image: _Image) -> None:
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


def _read_label(image: _Image, rules: Rules, classes: Mapping[int, int]) -> None:
    try:
        content = regular_bytes(image.label)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{image.label}: cannot read the labels: {reason}") from None
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    labels = parsed(image.label, lines, rules)
    kept = [label for label in labels if label.class_id in classes]
    image.before = tuple(label.class_id for label in labels)
    image.after = tuple(classes[label.class_id] for label in kept)
    rests = (lines[label.line].split(None, 1)[1].rstrip() for label in kept)
    image.rows = b"".join(map(b"%d %s\n".__mod__, zip(image.after, rests, strict=True)))


def _chosen(images: Iterable[_Image], max_bg_ratio: float, seed: int) -> list[_Image]:
    """The images that are kept, in their order: all with boxes, and as many others as may be."""
    whole = [image for image in images if not image.problem]
    background = [i for i, image in enumerate(whole) if not image.after]
    if max_bg_ratio < 1:
        ratio = Fraction(str(max_bg_ratio))  # exact: 0.1 of 10 images is one of them
        most = int(ratio * (len(whole) - len(background)) / (1 - ratio))
        order = np.random.default_rng(seed).permutation(len(background))
        dropped = {background[i] for i in order[most:]}
        whole = [image for i, image in enumerate(whole) if i not in dropped]
    return whole


def _count(images: list[_Image], when: str) -> Count:
    sound = [getattr(image, when) for image in images if not image.problem]
    return Count(len(images), sum(not boxes for boxes in sound), Counter(chain(*sound)))


def _refuse_empty(subset: Subset, images: Mapping[str, list[_Image]]) -> None:
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


# --- writing --------------------------------------------------------------------------------------


def _write(
    splits: list[tuple[_Place, list[_Image]]],
    class_map: Path,
    text: str,
    copy: bool,
    bars: Progress,
) -> None:
    """Make the folders of `splits` and the file `class_map` with its `text`: all, or none."""
    # images last: a folder of images alone would look like a finished split
    folders = reversed(_folders(place for place, _ in splits))
    with staged_together(folders, class_map, text) as staged:
        labels, images = [], []
        for place, chosen in splits:
            into_labels, into_images = staged[place.labels], staged[place.images]
            for below in {os.path.dirname(image.name) for image in chosen}:
                (into_labels / below).mkdir(parents=True, exist_ok=True)
                (into_images / below).mkdir(parents=True, exist_ok=True)
            labels += [(f"{into_labels}{os.sep}{image.stem}.txt", image.rows) for image in chosen]
            images += [(f"{into_images}{os.sep}{image.name}", image.original) for image in chosen]
        # a thread for each kind of folder: a folder is locked while a file is made in it
        jobs = [_Job("write labels", _write_label, labels)]
        if copy:
            jobs.append(_Job("copy images", _copy_image, images, READERS))
        else:
            jobs.append(_Job("link images", _link_image, images))
        _run(jobs, bars)


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


def _class_map_text(subset: Subset, max_bg_ratio: float, seed: int) -> str:
    content = {
        "old": os.path.abspath(subset.old),
        "new": os.path.abspath(subset.new),
        "max_bg_ratio": float(max_bg_ratio),
        "seed": seed,
        "map": dict(subset.classes),
        "old_names": {old: subset.old_names[old] for old in subset.classes},
        "new_names": dict(enumerate(subset.new_names)),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


# --- many files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What is done with each of many things, by how many threads, under a title of its own."""

    title: str
    function: Callable[[Any], None]
    things: list[Any]
    threads: int = 1


def _run(jobs: Iterable[_Job], bars: Progress) -> None:
    """Do all `jobs` at once; the first error, Ctrl-C included, ends them all."""
    stop = threading.Event()

    def work(job: _Job, chunk: list[Any], bar: TaskID) -> None:
        for thing in chunk:
            if stop.is_set():
                return
            job.function(thing)
        bars.advance(bar, len(chunk))

    pools, futures = [], []
    try:
        for job in jobs:
            pool = ThreadPoolExecutor(job.threads)
            pools.append(pool)
            bar = bars.add_task(escape(job.title), total=len(job.things))
            chunks = (job.things[i : i + CHUNK] for i in range(0, len(job.things), CHUNK))
            futures += [pool.submit(work, job, chunk, bar) for chunk in chunks]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    finally:
        stop.set()
        for pool in pools:
            pool.shutdown(cancel_futures=True)
