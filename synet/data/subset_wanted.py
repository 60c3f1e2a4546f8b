"""What a data yaml asks of another data set: its classes, and folders that may be made.

`read_wanted` comes first, and the steps that it takes below it, in their order.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from synet.data.yolo_yaml import Dataset, Definition, label_path, load_dataset, read_data_yaml
from synet.system.errors import DataError
from synet.system.staging import refuse_taken, undo_killed

LOGGER = logging.getLogger("synet")

MODEL_KEYS = ("kpt_shape", "flip_idx", "channels")  # of a data yaml, what the model depends on


@dataclass(frozen=True)
class Place:
    """The folders of a split that is to be made; one and the same where YOLO expects them to be."""

    images: Path
    labels: Path


@dataclass(frozen=True)
class Wanted:
    """What `definition` asks of `dataset`, seen to be there, and possible where it is asked for.

    Attributes
    ----------
    classes
        The new id of each old class that is wanted.
    places
        The folders to make, by split.
    class_map
        The file to write that says which class became which.
    """

    dataset: Dataset
    definition: Definition
    classes: Mapping[int, int]
    places: Mapping[str, Place]
    class_map: Path


def read_wanted(old: str | Path, new: str | Path) -> Wanted:
    """Read two data yamls, of a data set and of what is wanted of it.

    Raises
    ------
    DataError
        One is malformed, or `new` asks for what `old` does not have.
    SynetError
        A place that is taken.
    """
    dataset, definition = load_dataset(old), read_data_yaml(new)
    if os.path.samefile(dataset.yaml, definition.yaml):
        raise DataError(f"{new}: OLD and NEW are the same file")
    classes = _classes(dataset, definition)
    places = _places(dataset, definition)
    class_map = Path(os.path.abspath(definition.root)) / f"{definition.yaml.stem}-classes.yaml"
    made = [*folders_of(places.values()), class_map]
    _refuse_old(dataset, definition.yaml, made)
    undo_killed(made)
    refuse_taken(made)
    _warn_of_keys(read_data_yaml(dataset.yaml), definition)
    return Wanted(dataset, definition, classes, places, class_map)


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


def _places(dataset: Dataset, definition: Definition) -> dict[str, Place]:
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
        places[split] = Place(images, label_path(images / "image.jpg").parent)
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


def _refuse_nested(path: Path, places: Mapping[str, Place]) -> None:
    for split, other in permutations(places, 2):
        outer = {os.path.realpath(folder): folder for folder in folders_of([places[other]])}
        for folder in folders_of([places[split]]):
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


def folders_of(places: Iterable[Place]) -> list[Path]:
    """Images before labels, or the one folder that holds both."""
    return [folder for each in places for folder in dict.fromkeys((each.images, each.labels))]


def _warn_of_keys(old: Definition, new: Definition) -> None:
    for key in MODEL_KEYS:
        was, is_now = old.content.get(key), new.content.get(key)
        if was is not None and was != is_now:
            now = "has none" if is_now is None else f"says {is_now}"
            LOGGER.warning("%s says %s: %s, but %s %s", old.yaml, key, was, new.yaml, now)
