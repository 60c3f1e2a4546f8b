"""A small detection data set that is drawn instead of downloaded: shapes on cluttered grounds.

Every picture has a generator of its own, seeded by the data set, its split and its number, so a
picture is the same to the byte however many others are drawn with it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml

from synet.files import write_atomic
from synet.images import write_image

NAMES = ("circle", "square", "triangle")
SIDES = (48, 4, 3)
SIZES = (36, 96)  # pixels from side to side
CONTRAST = 70  # grey levels, at least, between a shape and the ground that it lies on
VISIBLE = 0.65  # of every shape, at least, is left uncovered by the others
FRACTION_BITS = 4  # OpenCV takes corners in 1/16 of a pixel
LUMA = np.array([0.299, 0.587, 0.114])


def draw_dataset(
    folder: str | Path,
    seed: int = 0,
    train: int = 400,
    val: int = 64,
    test: int = 48,
    shape: tuple[int, int] = (240, 320),
) -> Path:
    """Draw a labelled data set in YOLO format.

    Parameters
    ----------
    folder
        Receives ``images/<split>/*.jpg``, ``labels/<split>/*.txt`` and ``data.yaml``.
    seed
        The same seed draws the same files.
    train, val, test
        Images in each split. Quantization calibrates on the test split.
    shape
        (height, width) of an image in pixels.

    Returns
    -------
    The data yaml. Its paths are relative to it, so the folder can be moved.
    """
    folder = Path(folder)
    splits = {"train": train, "val": val, "test": test}
    for number, (split, count) in enumerate(splits.items()):
        for index in range(count):
            image, labels = draw_image(np.random.default_rng([seed, number, index]), shape)
            write_image(folder / "images" / split / f"{index:04}.jpg", image)
            rows = (f"{int(row[0])} " + " ".join(f"{x:.6f}" for x in row[1:]) for row in labels)
            write_atomic(folder / "labels" / split / f"{index:04}.txt", "\n".join(rows) + "\n")
    content = {split: f"images/{split}" for split in splits} | {"names": dict(enumerate(NAMES))}
    return write_atomic(folder / "data.yaml", yaml.safe_dump(content, sort_keys=False))


def draw_image(
    rng: np.random.Generator, shape: tuple[int, int] = (240, 320)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one picture of one to five shapes.

    Shapes differ from their ground in brightness, and in hue only by chance, so that a grayscale
    camera sees them as well.

    Returns
    -------
    image
        uint8 ``(H, W, 3)``, RGB.
    labels
        float64 ``(N, 5)``: class, then x, y, width and height of the box, 0-1.
    """
    canvas = _ground(rng, shape)
    for _ in range(rng.integers(3, 8)):
        _paint(rng, canvas, _distractor(rng, shape), contrast=15)
    labels = _add_shapes(rng, canvas)
    for _ in range(rng.integers(0, 3)):
        _paint(rng, canvas, _line(rng, shape), contrast=15)
    return _photograph(rng, canvas), labels


def _ground(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A slope of brightness under clouds: float32 ``(H, W, 3)``."""
    height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    grey = rng.uniform(60, 190) + rng.uniform(0, 40) * (x * np.cos(angle) + y * np.sin(angle))
    clouds = rng.normal(0, rng.uniform(3, 18), (rng.integers(3, 10), rng.integers(4, 13)))
    grey += cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.float32(grey[..., None] + _tint(rng))


def _add_shapes(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Draw shapes, the later above the earlier, and return their labels."""
    height, width = canvas.shape[:2]
    covers: list[np.ndarray] = []  # what can still be seen of each shape
    whole: list[float] = []
    labels = []
    for _ in range(rng.integers(1, 6)):
        kind = int(rng.integers(len(NAMES)))
        corners = _regular_polygon(rng, SIDES[kind], rng.uniform(*SIZES))
        corners += rng.uniform(
            1 - corners.min(axis=0), (width - 2, height - 2) - corners.max(axis=0)
        )
        cover = _filled(corners, (height, width))
        left = [below * (1 - cover) for below in covers]
        if any(seen.sum() < VISIBLE * area for seen, area in zip(left, whole, strict=True)):
            continue  # it would hide another one
        covers, whole = [*left, cover], [*whole, cover.sum()]
        _paint(rng, canvas, cover, CONTRAST)
        low, high = corners.min(axis=0), corners.max(axis=0) + 1  # a corner fills its pixel
        centre, size = (low + high) / 2 / (width, height), (high - low) / (width, height)
        labels.append([kind, *centre, *size])
    return np.array(labels)


def _regular_polygon(rng: np.random.Generator, sides: int, size: float) -> np.ndarray:
    """Corners around the origin, turned at random, `size` pixels in the longer direction."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(sides) * (2 * np.pi / sides)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners * size / np.ptp(corners, axis=0).max()


def _filled(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How much of each pixel a polygon covers: float32 ``(H, W)``, 0-1."""
    cover = np.zeros(shape, np.uint8)
    points = np.int32(np.round(corners * (1 << FRACTION_BITS)))
    cv2.fillPoly(cover, [points], 255, cv2.LINE_AA, FRACTION_BITS)
    return np.float32(cover) / 255


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
    return np.float32(cover) / 255


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
    return np.uint8(np.clip(image, 0, 255))
