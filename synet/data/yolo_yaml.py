"""Datasets in YOLO format: the data yaml, and the images and labels that it leads to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synet.data.datasets_dir import datasets_dir, find_yaml, is_stock
from synet.data.dialects import EITHER, Dialect
from synet.data.images import Placement, letterbox, read_image, to_channels, write_image
from synet.data.labels import Rules, label_form, label_path, read_labels
from synet.data.listing import image_files, other_images
from synet.system.errors import DataError
from synet.system.files import write_atomic
from synet.system.yaml_files import read_yaml

__all__ = [
    "Dataset",
    "Definition",
    "Placement",
    "label_form",
    "label_path",
    "letterbox",
    "load_dataset",
    "read_data_yaml",
    "read_image",
    "read_labels",
    "resolved_definition",
    "resolved_yaml",
    "to_channels",
    "write_image",
]

SPLITS = ("train", "val", "test")
MOST_CLASSES = 100_000  # of a data yaml without names, which a slip of the pen makes billions
OTHER_NAMES = {"val": "validation"}  # of a split, as ultralytics reads it, too


@dataclass(frozen=True)
class Dataset:
    """What a data yaml says.

    Attributes
    ----------
    yaml
        The data yaml itself.
    names
        Class names, by class id.
    sources
        For each split that the yaml fills in, the folders and lists it names, absolute.
        They are looked into by `images`, so a split that nobody asks for may be absent.
    keypoint_shape
        How many keypoints a label has, and how many numbers each: ``kpt_shape``. None without.
    strict
        Whether what cannot be read is an error; else it is left out, as YOLO does, and told.
    dialect, task, single_class
        How its images and labels are read, see `synet.data.labels.Rules`; as the model wants them
        that is judged.
    told
        The warnings that its user has had.
    """

    yaml: Path
    names: tuple[str, ...]
    sources: Mapping[str, tuple[Path, ...]]
    keypoint_shape: tuple[int, int] | None = None
    strict: bool = False
    dialect: Dialect = EITHER
    task: str = ""
    single_class: bool = False
    told: set[str] = field(default_factory=set, compare=False, repr=False)

    def images(self, split: str) -> tuple[Path, ...]:
        """The image files of a split, each once, sorted by path.

        Raises
        ------
        DataError
            The yaml has no such split, a folder or list of it is missing, or it holds no image.
        """
        return tuple(sorted(map(Path, self.image_files(split))))

    def image_files(self, split: str) -> list[str]:
        """As `images`, as strings and sorted as such, which is faster."""
        if split not in self.sources:
            there = ", ".join(self.sources) or "none at all"
            raise DataError(f"{self.yaml}: no split '{split}'; it has {there}")
        files: set[str] = set()
        for source in self.sources[split]:
            if not source.exists():
                raise DataError(f"{self.yaml}: {split}: {source} does not exist")
            files.update(self._images_in(source))
        if not files:
            places = ", ".join(map(str, self.sources[split]))
            raise DataError(f"{self.yaml}: {split}: no images in {places}")
        return sorted(files)

    def image_folders(self) -> set[str]:
        """The folders that hold the images of all splits: the top ones, and each of a list."""
        folders = set()
        for source in (source for sources in self.sources.values() for source in sources):
            if source.is_dir():
                folders.add(str(source))
            elif source.is_file():
                folders.update(os.path.dirname(file) for file in self._images_in(source))
        return folders

    def other_images(self, split: str) -> Counter[str]:
        """How many images a split has of kinds that its YOLO does not take, by suffix."""
        found = (other_images(each, self.dialect.suffixes) for each in self.sources[split])
        return sum(found, Counter())

    def image(self, path: str | Path) -> np.ndarray:
        """An image, as `synet.data.images.read_image` reads it, if its YOLO takes it."""
        return read_image(path, self.dialect)

    @property
    def rules(self) -> Rules:
        """How its labels are read."""
        count = len(self.names)
        return Rules(count, self.keypoint_shape, self.task, self.single_class, self.dialect)

    def labels(self, image_path: str | Path) -> np.ndarray:
        """The boxes of an image, as `synet.data.labels.read_labels` reads them."""
        return read_labels(image_path, len(self.names), rules=self.rules)

    def require_labels(
        self, split: str, label_path_of: Callable[[Path], Path] | None = None
    ) -> None:
        """See that some image of a split is labelled.

        Parameters
        ----------
        split
            ``train``, ``val`` or ``test``.
        label_path_of
            Where the labels of an image lie. Default: `label_path`.

        Raises
        ------
        DataError
            None is, or the split has no images.
        """
        images, place = self.images(split), label_path_of or label_path
        if not any(place(image).is_file() for image in images):
            raise DataError(
                f"{self.yaml}: {split}: none of the {len(images)} images has labels; "
                f"looked for {place(images[0])} and the like"
            )

    def calibration_split(self) -> str:
        """The split to calibrate int8 with: ``test`` where it is there and not empty, else ``val``.

        Raises
        ------
        DataError
            Neither has images.
        """
        test = [source for source in self.sources.get("test", ()) if source.exists()]
        if any(True for source in test for _ in self._images_in(source)):
            return "test"
        self.images("val")
        return "val"

    def _images_in(self, source: Path) -> Iterable[str]:
        return image_files(source, self.dialect.suffixes)


def load_dataset(path: str | Path, strict: bool = False) -> Dataset:
    """Read a data yaml in any of the forms that YOLO accepts.

    A split is a folder (searched to any depth), a list of images, or a list of these. What is
    relative is looked for under ``path``, which, if relative itself, starts from the yaml's folder,
    when nothing is there from the working directory, and then from ultralytics' ``datasets_dir``.

    Parameters
    ----------
    path
        The file; a folder with it in it; or the name of one that ultralytics brings along.
    strict
        As in `Dataset`.

    Raises
    ------
    DataError
        The file is missing or no yaml, or ``names``, ``nc`` or a split is malformed.
    """
    definition = read_data_yaml(find_yaml(path))
    root = Path(os.path.expanduser(definition.content.get("path") or ""))
    common = datasets_dir() if root.parts else None
    roots = [definition.root, root, *([common / root] if common else ())]
    if is_stock(definition.yaml):
        roots = roots[:0:-1]  # not beside it, among ultralytics' code
    sources = {
        split: tuple(_locate(entry, roots) for entry in entries)
        for split, entries in definition.entries.items()
    }
    shape = definition.keypoint_shape
    return Dataset(definition.yaml, definition.names, sources, shape, strict)


@dataclass(frozen=True)
class Definition:
    """A data yaml as it is written, before anything is looked for.

    Attributes
    ----------
    yaml
        The data yaml itself.
    content
        Its keys and values.
    names
        Class names, by class id.
    root
        Its ``path``, starting from its folder.
    entries
        For each split that it fills in, the folders and lists as they are written.
    keypoint_shape
        As in `Dataset`.
    """

    yaml: Path
    content: dict[str, Any]
    names: tuple[str, ...]
    root: Path
    entries: Mapping[str, tuple[str, ...]]
    keypoint_shape: tuple[int, int] | None


def read_data_yaml(path: str | Path) -> Definition:
    """Read a data yaml, and see that its keys are well formed.

    Raises
    ------
    DataError
        As `load_dataset`.
    """
    path = Path(path)
    content = _read_yaml(path)
    names = _class_names(path, content)
    root = content.get("path") or ""
    if not isinstance(root, str):
        raise DataError(f"{path}: path: expected a folder, found {root!r}")
    written = {}
    for split in SPLITS:
        entries = content.get(split) or content.get(OTHER_NAMES.get(split, "")) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
            raise DataError(f"{path}: {split}: expected a path or a list of paths, found {entries}")
        if any("\0" in entry for entry in entries):
            raise DataError(f"{path}: {split}: no file has a name with a zero byte in it")
        if entries:
            written[split] = tuple(entries)
    root = path.parent / os.path.expanduser(root)
    return Definition(path, content, names, root, written, _keypoint_shape(path, content))


def resolved_definition(path: str | Path) -> dict[str, Any]:
    """The content of a data yaml, meaning the same wherever, and by whichever fork, it is read.

    ``train``, ``val`` and ``test`` become absolute, ``path`` goes, ``nc`` and a list of ``names``
    (the one form that every fork reads) are filled in; all other keys are kept.

    Raises
    ------
    DataError
        As `load_dataset`.
    """
    dataset = load_dataset(path)
    gone = {"path", *OTHER_NAMES.values()}
    content = {key: value for key, value in _read_yaml(dataset.yaml).items() if key not in gone}
    for split, sources in dataset.sources.items():
        places = [str(source) for source in sources]
        content[split] = places[0] if len(places) == 1 else places
    return content | {"nc": len(dataset.names), "names": list(dataset.names)}


def resolved_yaml(path: str | Path, out: str | Path) -> Path:
    """Write what `resolved_definition` gives, for forks that read the file themselves.

    Raises
    ------
    DataError
        As `load_dataset`.
    SynetError
        `out` cannot be written.
    """
    content = resolved_definition(path)
    return write_atomic(out, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, DataError, "strict", "cannot read the data yaml")
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a data yaml: expected keys such as train, val and names")
    return content


def _class_names(path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names, count = content.get("names"), _class_count(path, content.get("nc"))
    if names is None:
        if count is None:
            raise DataError(f"{path}: no 'names'; add the class names, e.g. names: [cat, dog]")
        names = [f"class_{index}" for index in range(count)]  # what ultralytics calls them
    if isinstance(names, dict):
        names = _in_order(path, names)
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: names: expected a list or a map from id to name, found {names!r}")
    if count not in (None, len(names)):
        raise DataError(f"{path}: nc is {count}, but names has {len(names)} entries")
    return tuple(str(name) for name in names)


def _class_count(path: Path, count: Any) -> int | None:
    if count is None:
        return None
    try:
        whole = int(float(count))
        if isinstance(count, bool) or whole != float(count) or not 0 < whole <= MOST_CLASSES:
            raise ValueError(count)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{path}: nc: expected the number of classes, found {count!r}") from None
    return whole


def _in_order(path: Path, names: dict[Any, Any]) -> list[Any]:
    """Names by id, from a map whose ids may be written as text."""
    try:
        by_id = {int(str(key)): name for key, name in names.items()}
    except ValueError:
        by_id = {}
    if sorted(by_id) != list(range(len(names))):
        keys = ", ".join(map(repr, names))
        raise DataError(
            f"{path}: names: expected each of the ids 0 to {len(names) - 1} once, found {keys}"
        )
    return [by_id[index] for index in range(len(names))]


def _keypoint_shape(path: Path, content: dict[str, Any]) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not whole or shape[0] < 1 or shape[1] not in (2, 3):
        raise DataError(
            f"{path}: kpt_shape: expected [number of keypoints, 2 or 3], found {shape!r}"
        )
    return tuple(shape)


def _locate(entry: str, roots: Iterable[Path]) -> Path:
    # Roboflow writes ../train/images for a folder that lies beside its data.yaml
    spellings = [entry, entry[3:]] if entry.startswith("../") else [entry]
    # abspath, not resolve: behind a link named images the labels could not be found
    places = [Path(os.path.abspath(root / each)) for each in spellings for root in roots]
    return next((place for place in places if place.exists()), places[0])
