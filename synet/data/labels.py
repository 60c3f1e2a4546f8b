"""Label files: where they lie, and what their lines say, read as the YOLO that trains on them does.

A file is read as a whole, since YOLO drops an image of which one label is broken.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synet.data.dialects import EITHER, Dialect, Lone
from synet.data.text_files import LineError, check_places, located, read_lines, rows_of

LABEL_FORM = "a line is 'class x y width height' or 'class x1 y1 x2 y2 x3 y3 ...', in 0-1"
_Row = list[float]


@dataclass(frozen=True)
class Rules:
    """How labels are read.

    Attributes
    ----------
    classes
        How many there are; ids run from 0.
    keypoint_shape
        How many keypoints a label has, and how many numbers each; None without.
    task
        Of the model that is judged: pose needs keypoints, other tasks do not look at them. Empty
        where there is no model.
    single_class
        Whether all classes are one, as ``single_cls`` trains.
    dialect
        The YOLO.
    """

    classes: int
    keypoint_shape: tuple[int, int] | None = None
    task: str = ""
    single_class: bool = False
    dialect: Dialect = EITHER


@dataclass(frozen=True)
class Label:
    """A line of a label file.

    Attributes
    ----------
    line
        Its number, from 0.
    class_id
        As it is written.
    box
        Centre, width and height, as fractions of the image.
    key
        The same for all lines of which YOLO keeps one.
    """

    line: int
    class_id: int
    box: tuple[float, float, float, float]
    key: bytes


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
    image_path: str | Path,
    classes: int,
    keypoint_shape: tuple[int, int] | None = None,
    rules: Rules | None = None,
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
    rules
        In place of these two, all that there is to say.

    Returns
    -------
    float32 ``(N, 5)``: class, then centre x, centre y, width, height as fractions of the image.

    Raises
    ------
    DataError
        A line is malformed (the message has file and line number) or the file cannot be read.
    """
    path = label_path(image_path)
    rules = rules or Rules(classes, keypoint_shape)
    lines = read_lines(path, "labels", rules.dialect.encoding) if path.is_file() else []
    labels: dict[bytes, Label] = {}  # keys in order: a set that remembers
    for label in parsed(path, lines, rules):
        labels.setdefault(label.key, label)
    one = rules.single_class
    rows = [(0 if one else label.class_id, *label.box) for label in labels.values()]
    return np.array(rows, np.float32).reshape(-1, 5)


def parsed(path: str | Path, lines: Sequence[str | bytes], rules: Rules) -> list[Label]:
    """The labels that lines of a file say, one for each that is not blank.

    Raises
    ------
    DataError
        One is malformed: the message has the file and the line's number, from 1.
    """
    with located(path, label_form(rules.keypoint_shape)):
        return _labels(lines, rules)


def label_form(keypoint_shape: tuple[int, int] | None) -> str:
    """What a line of a label file looks like, for messages."""
    if keypoint_shape is None:
        return LABEL_FORM
    count, size = keypoint_shape
    return f"a line is 'class x y width height' and {count} keypoints of {size} numbers, in 0-1"


def _labels(lines: Sequence[str | bytes], rules: Rules) -> list[Label]:
    rows = rows_of(lines, rules.classes, any_class=rules.single_class)
    if rules.keypoint_shape is not None:
        if rules.task in ("", "pose"):
            return [_pose(*row, rules.keypoint_shape, rules) for row in rows.items()]
        whole = 5 + math.prod(rules.keypoint_shape)
        rows = {number: row[:5] if len(row) == whole else row for number, row in rows.items()}
    if not any(len(row) > 6 for row in rows.values()):
        return [_box(*row, rules) for row in rows.items()]
    try:
        return [_polygon(*row, rules) for row in rows.items()]
    except LineError:
        if not rules.dialect.unsaid or not all(map(_looks_like_keypoints, rows.values())):
            raise
    return [_pose(number, row, ((len(row) - 5) // 3, 3), rules) for number, row in rows.items()]


def _box(number: int, row: _Row, rules: Rules) -> Label:
    if len(row) != 5:
        raise LineError(number, f"{len(row)} numbers")
    _check_box(number, row[1:], rules.dialect)
    return _label(number, row[0], row[1:], row)


def _polygon(number: int, row: _Row, rules: Rules) -> Label:
    dialect = rules.dialect
    if len(row) == 5 and dialect.lone is Lone.BOX:
        return _box(number, row, rules)
    if len(row) < 3 or len(row) % 2 == 0:
        raise LineError(number, f"{len(row)} numbers")
    if len(row) == 5 and dialect.lone is Lone.REFUSED:
        raise LineError(number, f"a box in a file of polygons, which {dialect.name} drops")
    xs, ys = row[1::2], row[2::2]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    wrong = [place for place in row[1:] if place != place]  # min and max may pass over a nan
    _check_box(number, wrong or box, dialect, row[1:])
    return _label(number, row[0], box, [row[0], *box] if dialect.by_box else row)


def _pose(number: int, row: _Row, shape: tuple[int, int], rules: Rules) -> Label:
    count, size = shape
    if len(row) == 5 and rules.task != "pose":
        return _box(number, row, rules)
    if len(row) != 5 + count * size:
        raise LineError(number, f"{len(row)} numbers")
    low, high = rules.dialect.lowest, rules.dialect.highest
    check_places(number, (place for at, place in enumerate(row[5:]) if at % size < 2), low, high)
    check_places(number, row[1:3], low, math.inf)
    check_places(number, row[3:5], 0, math.inf)
    for seen in row[7::3] if size == 3 else ():
        if not low <= seen <= rules.dialect.seen:
            raise LineError(number, f"{seen:g} is not how well a keypoint is seen: 0, 1 or 2")
    return _label(number, row[0], row[1:5], row)


def _looks_like_keypoints(row: _Row) -> bool:
    """A box and keypoints of three numbers, as forks have them whose yaml says nothing of them."""
    return len(row) > 5 and len(row) % 3 == 2 and all(seen in (0, 1, 2) for seen in row[7::3])


def _check_box(
    number: int, box: Sequence[float], dialect: Dialect, written: Sequence[float] = ()
) -> None:
    """See that a box lies in the image, or tell of the place that does not, as it is written."""
    try:
        check_places(number, box[:2], dialect.lowest, dialect.highest)
        check_places(number, box[2:], 0, dialect.highest)
    except LineError:
        check_places(number, written, dialect.lowest, dialect.highest)
        raise


def _label(number: int, class_id: float, box: Sequence[float], key: Sequence[float]) -> Label:
    x, y, width, height = box
    # + 0.0: minus nothing is nothing
    return Label(
        number,
        int(class_id),
        (x, y, width, height),
        array("f", [each + 0.0 for each in key]).tobytes(),
    )
