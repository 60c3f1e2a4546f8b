"""Datasets in YOLO format: the data yaml, and the images and labels that it leads to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synet.errors import DataError
from synet.files import write_atomic
from synet.images import (
    Placement,
    is_image,
    letterbox,
    read_image,
    to_channels,
    write_image,
)
from synet.system.yaml_files import read_yaml

__all__ = [
    "Dataset",
    "Definition",
    "Placement",
    "label_form",
    "label_numbers",
    "label_path",
    "letterbox",
    "load_dataset",
    "read_definition",
    "read_image",
    "read_labels",
    "resolved_definition",
    "resolved_yaml",
    "to_channels",
    "write_image",
]

SPLITS = ("train", "val", "test")
LABEL_FORM = "a line is 'class x y width height' or 'class x1 y1 x2 y2 x3 y3 ...', in 0-1"
# What is 0 or 1 as float32, so that the 1.0000000001 that some tools write is 1.
LOWEST, HIGHEST = -(2.0**-150), 1 + 2.0**-24


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
        For each split that the yaml fills in, the folders and ``.txt`` lists it names, absolute.
        They are looked into by `images`, so a split that nobody asks for may be absent.
    keypoint_shape
        How many keypoints a label has, and how many numbers each: ``kpt_shape``. None without.
    """

    yaml: Path
    names: tuple[str, ...]
    sources: Mapping[str, tuple[Path, ...]]
    keypoint_shape: tuple[int, int] | None = None

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
            files.update(_image_files(source))
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
            elif source.suffix == ".txt" and source.is_file():
                folders.update(os.path.dirname(file) for file in _image_files(source))
        return folders

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
        if any(True for source in test for _ in _image_files(source)):
            return "test"
        self.images("val")
        return "val"


def load_dataset(path: str | Path) -> Dataset:
    """Read a data yaml in any of the forms that YOLO accepts.

    A split is a folder (searched to any depth), a ``.txt`` list, or a list of these. What is
    relative is looked for under ``path``, which, if relative itself, starts from the yaml's folder
    or, when nothing is there, from the working directory.

    Raises
    ------
    DataError
        The file is missing or no yaml, or ``names``, ``nc`` or a split is malformed.
    """
    definition = read_definition(path)
    roots = [definition.root, Path(os.path.expanduser(definition.content.get("path") or ""))]
    sources = {
        split: tuple(_locate(entry, roots) for entry in entries)
        for split, entries in definition.entries.items()
    }
    shape = definition.keypoint_shape
    return Dataset(definition.yaml, definition.names, sources, shape)


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


def read_definition(path: str | Path) -> Definition:
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
        entries = content.get(split) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
            raise DataError(f"{path}: {split}: expected a path or a list of paths, found {entries}")
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
    content = {key: value for key, value in _read_yaml(dataset.yaml).items() if key != "path"}
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


def label_path(image_path: str | Path) -> Path:
    """Where the labels of an image lie: its last folder ``images`` read as ``labels``, ``.txt``."""
    path = Path(image_path).with_suffix(".txt")
    parts = list(path.parts)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts)


def read_labels(
    image_path: str | Path, classes: int, keypoint_shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Read the boxes of an image; where it has no label file it is background.

    A polygon becomes the box around it, keypoints are left out, and a repeated line counts once,
    as in YOLO.

    Parameters
    ----------
    image_path
        The image, not its label file.
    classes
        How many classes there are; ids run from 0.
    keypoint_shape
        Of the data set, where it has one.

    Returns
    -------
    float32 ``(N, 5)``: class, then centre x, centre y, width, height as fractions of the image.

    Raises
    ------
    DataError
        A line is malformed (the message has file and line number) or the file cannot be read.
    """
    path = label_path(image_path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the labels: {_reason(error)}") from None
    rows = {}  # keys in order: a set that remembers
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows[_parse_label(line, classes, keypoint_shape)] = None
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}; {label_form(keypoint_shape)}") from None
    return np.array(list(rows), np.float32).reshape(-1, 5)


def label_numbers(
    line: str | bytes, classes: int, keypoint_shape: tuple[int, int] | None = None
) -> list[float]:
    """The numbers of a label's line, checked: the class, then what is left of the line.

    A line is a box, a polygon (a rotated box is one, too), or a box and keypoints. Where there is
    a `keypoint_shape`, it is a box, and those keypoints may follow.

    Parameters
    ----------
    line
        Not blank.
    classes, keypoint_shape
        As in `read_labels`.

    Raises
    ------
    ValueError
        It is none of these, names no class, or a place is outside 0-1.
    """
    try:
        numbers = list(map(float, line.split()))
    except ValueError:
        text = line if isinstance(line, str) else line.decode(errors="replace")
        raise ValueError(f"{text.strip()[:80]!r} is not made of numbers") from None
    class_id, places = numbers[0], numbers[1:]
    if len(places) == 4:
        known, visible = True, False
    elif keypoint_shape is None:
        visible = _looks_like_keypoints(places)
        known = visible or _is_polygon(places)
    else:
        count, size = keypoint_shape
        known, visible = len(places) == 4 + count * size, size == 3
    if not known:
        raise ValueError(f"{len(numbers)} numbers")
    if visible:
        for seen in places[6::3]:
            if not 0 <= seen <= 2:
                raise ValueError(f"{seen:g} is not how well a keypoint is seen: 0, 1 or 2")
        del places[6::3]  # what is left is places
    if not (0 <= class_id < classes and class_id.is_integer()):
        raise ValueError(f"class {class_id:g} is not one of 0 to {classes - 1}")
    for place in places:
        if not LOWEST <= place <= HIGHEST:
            raise ValueError(f"{place:g} is outside 0-1")
    return numbers


def label_form(keypoint_shape: tuple[int, int] | None) -> str:
    """What a line of a label file looks like, for messages."""
    if keypoint_shape is None:
        return LABEL_FORM
    count, size = keypoint_shape
    return f"a line is 'class x y width height' and {count} keypoints of {size} numbers, in 0-1"


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, DataError, "strict", "cannot read the data yaml")
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a data yaml: expected keys such as train, val and names")
    return content


def _class_names(path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if names is None:
        raise DataError(f"{path}: no 'names'; add the class names, e.g. names: [cat, dog]")
    if isinstance(names, dict):
        if any(type(key) is not int for key in names) or sorted(names) != list(range(len(names))):
            keys = ", ".join(map(str, names))
            raise DataError(f"{path}: names: ids must count up from 0 without gaps, found {keys}")
        names = [names[key] for key in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: names: expected a list or a map from id to name, found {names!r}")
    if content.get("nc", len(names)) != len(names):
        raise DataError(f"{path}: nc is {content['nc']}, but names has {len(names)} entries")
    return tuple(str(name) for name in names)


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


def _image_files(source: Path) -> Iterable[str]:
    if source.is_dir():
        for folder, _, files in os.walk(source, followlinks=True):
            yield from (os.path.join(folder, file) for file in files if is_image(file))
    elif source.suffix == ".txt":
        yield from _listed_images(source)
    else:
        raise DataError(f"{source}: a split is a folder or a .txt list of images, not this file")


def _listed_images(path: Path) -> Iterable[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the list: {_reason(error)}") from None
    for line in filter(is_image, map(str.strip, lines)):
        beside = os.path.join(path.parent, line)
        elsewhere = not os.path.exists(beside) and os.path.exists(line)
        yield os.path.abspath(line if elsewhere else beside)


def _parse_label(
    line: str, classes: int, keypoint_shape: tuple[int, int] | None
) -> tuple[float, ...]:
    class_id, *places = label_numbers(line, classes, keypoint_shape)
    if keypoint_shape is None and _is_polygon(places) and max(places) <= HIGHEST:
        left, right = min(places[::2]), max(places[::2])
        top, bottom = min(places[1::2]), max(places[1::2])
        places = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return (class_id, *places[:4])


def _is_polygon(places: list[float]) -> bool:
    return len(places) >= 6 and len(places) % 2 == 0


def _looks_like_keypoints(places: list[float]) -> bool:
    """A box and keypoints of three numbers, as forks have them whose yaml says nothing of them."""
    return len(places) > 4 and len(places) % 3 == 1 and all(v in (0, 1, 2) for v in places[6::3])


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    return error.strerror or str(error)
