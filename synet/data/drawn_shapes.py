"""A small data set that is drawn instead of downloaded: shapes on cluttered grounds.

Every picture has a generator of its own, seeded by the data set, its split and its number, so a
picture is the same to the byte however many others are drawn with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from synet.data.images import write_image
from synet.system.files import write_atomic

NAMES = ("circle", "square", "triangle")
SIDES = (48, 4, 3)
SIZES = (36, 96)  # pixels from side to side
MOST = 5  # shapes in a picture
LARGE = (0.5, 0.9)  # of the picture's shorter side: a shape that is what its picture shows
CONTRAST = 70  # grey levels, at least, between a shape and the ground that it lies on
VISIBLE = 0.65  # of every shape, at least, is left uncovered by the others
FRACTION_BITS = 4  # OpenCV takes corners in 1/16 of a pixel
KEYPOINTS = {"kpt_shape": [4, 3], "flip_idx": [0, 3, 2, 1]}  # mirrored, right is left
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class Shape:
    """A shape in a picture.

    Attributes
    ----------
    kind
        Index into ``NAMES``.
    corners
        float64 ``(N, 2)``: x and y in pixels, of the pixels' upper left corners.
    seen
        float32 ``(H, W)``, 0-1: how much of each pixel it covers that nothing covers later.
    """

    kind: int
    corners: np.ndarray
    seen: np.ndarray


def draw_dataset(
    folder: str | Path,
    seed: int = 0,
    train: int = 400,
    val: int = 64,
    test: int = 48,
    shape: tuple[int, int] = (240, 320),
    task: str = "detect",
    crowd: int = MOST,
) -> Path:
    """Draw a labelled data set in YOLO format.

    Parameters
    ----------
    folder
        Receives ``images/<split>/*.jpg``, ``labels/<split>/*.txt`` and ``data.yaml``; to classify,
        ``<split>/<class>/*.jpg``, each a picture of one shape.
    seed
        The same seed draws the same files.
    train, val, test
        Images in each split. Quantization calibrates on the test split.
    shape
        (height, width) of an image in pixels.
    task
        What the labels are for: ``detect``, ``segment``, ``pose`` (the outermost points of a shape:
        top, right, bottom, left; a hidden one has no place), ``obb`` or ``classify``.

    crowd
        Shapes, at most, in an image of the train split: what is learned from one.

    Returns
    -------
    What a YOLO takes as its data: the yaml, whose paths are relative to it, or, to classify, the
    folder. Either can be moved.
    """
    folder = Path(folder)
    splits = {"train": train, "val": val, "test": test}
    for number, (split, count) in enumerate(splits.items()):
        for index in range(count):
            rng = np.random.default_rng([seed, number, index])
            if task == "classify":
                kind = index % len(NAMES)
                image, _ = draw_image(rng, shape, only=kind)
                write_image(folder / split / NAMES[kind] / f"{index:04}.jpg", image)
                continue
            image, drawn = draw_image(rng, shape, most=crowd if split == "train" else MOST)
            write_image(folder / "images" / split / f"{index:04}.jpg", image)
            rows = (label(each, shape, task) for each in drawn)
            lines = "".join(
                f"{int(row[0])} " + " ".join(f"{x:.6f}" for x in row[1:]) + "\n" for row in rows
            )
            write_atomic(folder / "labels" / split / f"{index:04}.txt", lines)
    if task == "classify":
        return folder
    content: dict[str, Any] = {split: f"images/{split}" for split in splits}
    content["names"] = dict(enumerate(NAMES))
    if task == "pose":
        content |= KEYPOINTS
    return write_atomic(folder / "data.yaml", yaml.safe_dump(content, sort_keys=False))


def draw_image(
    rng: np.random.Generator,
    shape: tuple[int, int] = (240, 320),
    only: int | None = None,
    most: int = MOST,
) -> tuple[np.ndarray, list[Shape]]:
    """Draw one picture of one to `most` shapes, or of a large one, of kind `only`.

    Shapes differ from their ground in brightness, and in hue only by chance, so that a grayscale
    camera sees them as well.

    Returns
    -------
    uint8 ``(H, W, 3)``, RGB, and the shapes in it.
    """
    canvas = _ground(rng, shape)
    for _ in range(rng.integers(3, 8)):
        _paint(rng, canvas, _distractor(rng, shape), contrast=15)
    drawn = _add_shapes(rng, canvas, only, most)
    for _ in range(rng.integers(0, 3)):
        _paint(rng, canvas, _line(rng, shape), contrast=15)
    return _photograph(rng, canvas), drawn


def label(drawn: Shape, shape: tuple[int, int], task: str = "detect") -> np.ndarray:
    """A line of a label file, for a picture of `shape`: class, and its place in 0-1.

    Returns
    -------
    float64. After the class: x, y, width and height of the box (detect); the corners (segment);
    the box, then x, y and visibility of each keypoint (pose); the four corners of the smallest
    rectangle (obb).
    """
    size = np.array(shape[::-1])
    low, high = drawn.corners.min(axis=0), drawn.corners.max(axis=0) + 1  # a corner fills its pixel
    box = np.concatenate([(low + high) / 2 / size, (high - low) / size])
    middles = (drawn.corners + 0.5) / size
    if task == "detect":
        return np.array([drawn.kind, *box])
    if task == "segment":
        return np.array([drawn.kind, *middles.ravel()])
    if task == "pose":
        x, y = drawn.corners.T
        outermost = [y.argmin(), x.argmax(), y.argmax(), x.argmin()]
        return np.array(
            [drawn.kind, *box, *np.ravel([_keypoint(drawn, i, size) for i in outermost])]
        )
    if task == "obb":
        around = cv2.boxPoints(cv2.minAreaRect((drawn.corners + 0.5).astype(np.float32)))
        return np.array([drawn.kind, *(np.clip(around / size, 0, 1)).ravel()])
    raise ValueError(f"no labels for {task!r}")


def _keypoint(drawn: Shape, corner: int, size: np.ndarray) -> tuple[float, float, int]:
    """x, y and 2 (visible), or zeros where something lies upon it: there is nothing to see."""
    x, y = np.round(drawn.corners[corner]).astype(int)
    around = drawn.seen[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
    if around.max() < 0.5:
        return 0.0, 0.0, 0
    return *((drawn.corners[corner] + 0.5) / size), 2


def _ground(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A slope of brightness under clouds: float32 ``(H, W, 3)``."""
    height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    grey = rng.uniform(60, 190) + rng.uniform(0, 40) * (x * np.cos(angle) + y * np.sin(angle))
    clouds = rng.normal(0, rng.uniform(3, 18), (rng.integers(3, 10), rng.integers(4, 13)))
    grey += cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
    return (grey[..., None] + _tint(rng)).astype(np.float32)


def _add_shapes(
    rng: np.random.Generator, canvas: np.ndarray, only: int | None, most: int
) -> list[Shape]:
    """Draw shapes, the later above the earlier."""
    height, width = canvas.shape[:2]
    drawn: list[Shape] = []
    whole: list[float] = []
    for _ in range(rng.integers(1, most + 1) if only is None else 1):
        kind = int(rng.integers(len(NAMES))) if only is None else only
        size = rng.uniform(*SIZES) if only is None else rng.uniform(*LARGE) * min(height, width)
        corners = _regular_polygon(rng, SIDES[kind], size)
        corners += rng.uniform(
            1 - corners.min(axis=0), (width - 2, height - 2) - corners.max(axis=0)
        )
        cover = _filled(corners, (height, width))
        below = [Shape(each.kind, each.corners, each.seen * (1 - cover)) for each in drawn]
        if any(each.seen.sum() < VISIBLE * area for each, area in zip(below, whole, strict=True)):
            continue  # it would hide another one
        drawn, whole = [*below, Shape(kind, corners, cover)], [*whole, cover.sum()]
        _paint(rng, canvas, cover, CONTRAST)
    return drawn


def _regular_polygon(rng: np.random.Generator, sides: int, size: float) -> np.ndarray:
    """Corners around the origin, turned at random, `size` pixels in the longer direction."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(sides) * (2 * np.pi / sides)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners * size / np.ptp(corners, axis=0).max()


def _filled(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How much of each pixel a polygon covers: float32 ``(H, W)``, 0-1."""
    cover = np.zeros(shape, np.uint8)
    points = np.round(corners * (1 << FRACTION_BITS)).astype(np.int32)
    cv2.fillPoly(cover, [points], 255, cv2.LINE_AA, FRACTION_BITS)
    return cover.astype(np.float32) / 255


def _distractor(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """The cover of something that is none of the classes: a line, or a jagged blob."""
    if rng.random() < 0.5:
        return _line(rng, shape)
    blob = _regular_polygon(rng, int(rng.integers(8, 13)), rng.uniform(10, 60))
    blob *= rng.uniform(0.25, 1, (len(blob), 1))
    return _filled(blob + rng.uniform((0, 0), shape[::-1]), shape)


def _line(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """The cover of a straight line across any part of the picture."""
    cover = np.zeros(shape, np.uint8)
    start, end = rng.integers((0, 0), shape[::-1], (2, 2)).tolist()
    cv2.line(cover, start, end, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return cover.astype(np.float32) / 255


def _paint(
    rng: np.random.Generator, canvas: np.ndarray, cover: np.ndarray, contrast: float
) -> None:
    """Fill what `cover` covers, at least `contrast` grey levels off the ground below it."""
    inside = cover > 0
    below = canvas[inside]
    ground = np.clip(below.mean() if len(below) else 0, 0, 255)
    darker, brighter = max(0, ground - contrast), max(0, 255 - ground - contrast)
    step = rng.uniform(-darker, brighter)
    colour = ground + step + np.copysign(contrast, step) + _tint(rng)
    canvas[inside] += cover[inside, None] * np.float32(colour - below)


def _tint(rng: np.random.Generator) -> np.ndarray:
    """A hue to add to RGB values that leaves their brightness as it is."""
    tint = rng.uniform(-25, 25, 3)
    return tint - tint @ LUMA


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """The canvas through a poor camera: exposure, blur and noise. uint8 ``(H, W, 3)``."""
    image = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.2)) * rng.uniform(0.7, 1.15)
    image += rng.uniform(2, 9) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
