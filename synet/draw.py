"""Pictures of what was found: boxes with labels, and pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from synet.detections import Detections

# Okabe and Ito's colours, which people with any colour vision can tell apart. RGB.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
MARGIN = 3  # pixels around a text

Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2


def draw(image: np.ndarray, detections: Detections, names: Sequence[str]) -> np.ndarray:
    """A copy of an image with each box outlined in its class's colour and labelled.

    A label is the class name and the score, or the name alone where the score is exactly 1, as of
    boxes that a person drew. Labels avoid each other, the best score choosing first.

    Parameters
    ----------
    image
        uint8 RGB ``(H, W, 3)``.
    detections
        In pixels of `image`.
    names
        Class names, by class id.

    Returns
    -------
    uint8 RGB, of the shape of `image`.
    """
    canvas = np.ascontiguousarray(image).copy()
    extent = min(canvas.shape[:2])
    line, text_size = max(2, round(extent / 240)), max(0.4, extent / 1200)
    best_first = detections[np.argsort(-detections.scores, kind="stable")]
    boxes = np.rint(best_first.boxes).astype(int).tolist()
    colours = [PALETTE[class_id % len(PALETTE)] for class_id in best_first.classes]

    for box, colour in reversed(list(zip(boxes, colours, strict=True))):
        # a dark rim keeps any colour visible on any background
        cv2.rectangle(canvas, box[:2], box[2:], BLACK, line + 2)
        cv2.rectangle(canvas, box[:2], box[2:], colour, line)
    taken: list[Rectangle] = []
    for index, (box, colour) in enumerate(zip(boxes, colours, strict=True)):
        name, score = names[best_first.classes[index]], best_first.scores[index]
        text = name if score == 1 else f"{name} {score:.2f}"
        taken.append(_label(canvas, text, box, colour, text_size, taken))
    return canvas


def side_by_side(pictures: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
    """Join titled pictures from left to right, enlarged to the height of the tallest.

    Parameters
    ----------
    pictures
        A title, and a uint8 RGB image ``(H, W, 3)``, each.

    Returns
    -------
    uint8 RGB on white.
    """
    pictures = list(pictures)
    if not pictures:
        raise ValueError("no pictures to join")
    height = max(image.shape[0] for _, image in pictures)
    gap = max(8, height // 40)
    panels = [_titled(title, _at_height(image, height), gap) for title, image in pictures]
    between = np.full((panels[0].shape[0], gap, 3), 255, np.uint8)
    row = [part for panel in panels for part in (between, panel)] + [between]
    joined = np.concatenate(row, axis=1)
    return np.concatenate([joined, np.full((gap, joined.shape[1], 3), 255, np.uint8)])


def _label(
    canvas: np.ndarray,
    text: str,
    box: Sequence[int],
    colour: tuple[int, int, int],
    size: float,
    taken: list[Rectangle],
) -> Rectangle:
    """Write a label at the first of four places that is free; returns where it is."""
    width, ascent, descent, thickness = _measure(text, size)
    width, height = width + 2 * MARGIN, ascent + descent + 2 * MARGIN
    x1, y1, x2, y2 = box
    places = [(x1, y1 - height), (x1, y2), (x2 - width, y1 - height), (x1, y1)]
    limits = canvas.shape[1] - width, canvas.shape[0] - height
    places = [tuple(max(0, min(at)) for at in zip(p, limits, strict=True)) for p in places]
    spots = [(left, top, left + width, top + height) for left, top in places]
    spot = next((s for s in spots if not any(_overlap(s, t) for t in taken)), spots[0])

    cv2.rectangle(canvas, spot[:2], (spot[2] - 1, spot[3] - 1), colour, cv2.FILLED)
    luma = np.dot(colour, (0.299, 0.587, 0.114))
    origin = spot[0] + MARGIN, spot[1] + MARGIN + ascent
    ink = BLACK if luma > 120 else WHITE
    cv2.putText(canvas, text, origin, FONT, size, ink, thickness, cv2.LINE_AA)
    return spot


def _measure(text: str, size: float) -> tuple[int, int, int, int]:
    """Width, height above and below the base line, and stroke; the heights are any text's."""
    thickness = max(1, round(2 * size))
    (width, _), _ = cv2.getTextSize(text, FONT, size, thickness)
    (_, ascent), descent = cv2.getTextSize("Ag", FONT, size, thickness)
    return width, ascent, descent, thickness


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _at_height(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] == height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def _titled(title: str, image: np.ndarray, gap: int) -> np.ndarray:
    size = max(0.45, image.shape[0] / 800)
    width, ascent, descent, thickness = _measure(title, size)
    bar = np.full((ascent + descent + gap, max(width, image.shape[1]), 3), 255, np.uint8)
    origin = 0, ascent + gap // 2
    cv2.putText(bar, title, origin, FONT, size, BLACK, thickness, cv2.LINE_AA)
    panel = np.full((image.shape[0], bar.shape[1], 3), 255, np.uint8)
    panel[:, : image.shape[1]] = image
    return np.concatenate([bar, panel])
