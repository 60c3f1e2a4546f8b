"""Pictures of what was found: boxes, masks, keypoints, labels; and pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from synet.detections.detections import Detections
from synet.rotated import rotated_corners

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
MARGIN_PX = 3  # around a text
OPACITY = 0.45  # of a mask
SEEN = 0.5  # a keypoint of less presence is not drawn
BODY = 17  # keypoints of a person, as COCO numbers them, and the pairs of them that bones join
BONES = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
    *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
)

Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2


def draw(
    image: np.ndarray,
    detections: Detections,
    names: Sequence[str],
    text_size: float | None = None,
) -> np.ndarray:
    """A copy of an image with each box outlined in its class's colour and labelled.

    Masks are drawn in, too, and keypoints, those of a person joined to a skeleton; a rotated box in
    place of the upright one around it. A label is the class name and the score, or the name alone
    where the score is exactly 1, as of boxes that a person drew. Labels avoid each other, the best
    score choosing first.

    Parameters
    ----------
    image
        uint8 RGB ``(H, W, 3)``.
    detections
        In pixels of `image`.
    names
        Class names, by class id.
    text_size
        Of the labels, as OpenCV scales its font. Default: what suits the image's size.

    Returns
    -------
    uint8 RGB, of the shape of `image`.
    """
    canvas = np.ascontiguousarray(image).copy()
    line, text_size = _line_width(canvas), text_size or _text_size(canvas)
    best_first = detections[np.argsort(-detections.scores, kind="stable")]
    boxes = np.rint(best_first.boxes).astype(int).tolist()
    colours = [PALETTE[class_id % len(PALETTE)] for class_id in best_first.classes]

    if best_first.masks is not None:
        _blend(canvas, best_first.masks, colours)
    edge = cv2.LINE_8 if best_first.rotated is None else cv2.LINE_AA
    for outline, colour in reversed(list(zip(_outlines(best_first), colours, strict=True))):
        # a dark rim keeps any colour visible on any background
        cv2.polylines(canvas, [outline], True, BLACK, line + 2, edge)
        cv2.polylines(canvas, [outline], True, colour, line, edge)
    if best_first.keypoints is not None:
        for points, colour in reversed(list(zip(best_first.keypoints, colours, strict=True))):
            _skeleton(canvas, points, colour, line)
    taken: list[Rectangle] = []
    for index, (box, colour) in enumerate(zip(boxes, colours, strict=True)):
        name, score = names[best_first.classes[index]], best_first.scores[index]
        text = name if score == 1 else f"{name} {score:.2f}"
        taken.append(_label(canvas, text, box, colour, text_size, taken))
    return canvas


def caption(
    image: np.ndarray, probabilities: np.ndarray, names: Sequence[str], best: int = 3
) -> np.ndarray:
    """A copy of an image with its likeliest classes written at the top left.

    Parameters
    ----------
    image
        uint8 RGB ``(H, W, 3)``.
    probabilities
        ``(classes,)``, 0-1.
    names
        Class names, by class id.
    best
        How many classes, at most.

    Returns
    -------
    uint8 RGB, of the shape of `image`.
    """
    canvas = np.ascontiguousarray(image).copy()
    taken: list[Rectangle] = []
    for class_id in np.argsort(-probabilities, kind="stable")[:best].tolist():
        text = f"{names[class_id]} {probabilities[class_id]:.2f}"
        top = taken[-1][3] if taken else 0
        colour = PALETTE[class_id % len(PALETTE)]
        # below the one before, in whatever room is left
        taken.append(_label(canvas, text, (0, top, 0, top), colour, _text_size(canvas), taken))
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


def _line_width(canvas: np.ndarray) -> int:
    return max(2, round(min(canvas.shape[:2]) / 240))


def _text_size(canvas: np.ndarray) -> float:
    return max(0.4, min(canvas.shape[:2]) / 1200)


def _outlines(detections: Detections) -> list[np.ndarray]:
    """Corners of each box, upright or rotated: int32 ``(4, 2)`` each."""
    if detections.rotated is not None:
        corners = rotated_corners(detections.rotated)
    else:
        x1, y1, x2, y2 = detections.boxes.T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
    return list(np.rint(corners).astype(np.int32))


def _blend(canvas: np.ndarray, masks: np.ndarray, colours: Sequence[tuple[int, int, int]]) -> None:
    """Tint what masks cover; where several do, the first."""
    free = np.ones(canvas.shape[:2], bool)
    for mask, colour in zip(masks, colours, strict=True):
        own = mask & free
        tinted = canvas[own] * (1 - OPACITY) + np.array(colour) * OPACITY
        canvas[own] = np.rint(tinted).astype(np.uint8)
        free &= ~mask


def _skeleton(
    canvas: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], line: int
) -> None:
    """Draw the keypoints ``(K, 3)`` of an object that are there, and what joins them."""
    seen = points[:, 2] >= SEEN
    places = np.rint(points[:, :2]).astype(int).tolist()
    bones = [bone for bone in BONES if len(points) == BODY and seen[bone[0]] and seen[bone[1]]]
    for start, end in bones:
        cv2.line(canvas, places[start], places[end], BLACK, line + 2, cv2.LINE_AA)
    for start, end in bones:
        cv2.line(canvas, places[start], places[end], colour, line, cv2.LINE_AA)
    for index in np.flatnonzero(seen):
        cv2.circle(canvas, places[index], line + 2, BLACK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, places[index], line + 1, WHITE, cv2.FILLED, cv2.LINE_AA)


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
    width, height = width + 2 * MARGIN_PX, ascent + descent + 2 * MARGIN_PX
    x1, y1, x2, y2 = box
    places = [(x1, y1 - height), (x1, y2), (x2 - width, y1 - height), (x1, y1)]
    limits = canvas.shape[1] - width, canvas.shape[0] - height
    places = [tuple(max(0, min(at)) for at in zip(p, limits, strict=True)) for p in places]
    spots = [(left, top, left + width, top + height) for left, top in places]
    spot = next((s for s in spots if not any(_overlap(s, t) for t in taken)), spots[0])

    cv2.rectangle(canvas, spot[:2], (spot[2] - 1, spot[3] - 1), colour, cv2.FILLED)
    luma = np.dot(colour, (0.299, 0.587, 0.114))
    origin = spot[0] + MARGIN_PX, spot[1] + MARGIN_PX + ascent
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
