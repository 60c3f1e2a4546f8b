"""Images: reading, writing, and fitting them into the input of a network.

An image is RGB ``uint8``, ``(height, width, 3)``; boxes are ``xyxy`` in pixels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from synet.errors import DataError, SynetError
from synet.files import write_atomic

IMAGE_SUFFIXES = frozenset(".bmp .dng .jpeg .jpg .mpo .pfm .png .tif .tiff .webp".split())
PADDING = 114  # the grey that YOLO pads with in training and validation


def is_image(file: str | Path) -> bool:
    """Whether a file is an image, by its suffix; hidden files are not."""
    name = os.path.basename(file)  # not pathlib, which is slow where folders are large
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as RGB, turned upright where its EXIF data says so.

    Returns
    -------
    uint8 ``(H, W, 3)``.

    Raises
    ------
    DataError
        The file is missing or is not an image.
    """
    try:
        # not cv2.imread, which cannot open paths beyond ASCII on Windows
        content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot read the image: {error.strerror or error}") from None
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{path}: not an image, or a damaged one ({content.size} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: str | Path, image: np.ndarray) -> Path:
    """Write an RGB image, in the format that the suffix of `path` names.

    JPEG keeps its colours at full resolution, so that thin lines stay crisp.

    Raises
    ------
    SynetError
        The file cannot be written.
    """
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    suffix = Path(path).suffix.lower()
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    try:
        _, encoded = cv2.imencode(suffix, bgr, options if suffix in {".jpg", ".jpeg"} else [])
    except cv2.error:
        raise SynetError(
            f"{path}: no image format is called '{suffix}'; use .jpg or .png"
        ) from None
    return write_atomic(path, encoded.tobytes())


@dataclass(frozen=True)
class Placement:
    """Where an image lies inside the letterboxed input of a network.

    Attributes
    ----------
    scale
        Input pixels per image pixel.
    left, top
        Input pixels before the image.
    image_shape
        Height and width of the original image.
    input_shape
        Height and width of the input.
    """

    scale: float
    left: int
    top: int
    image_shape: tuple[int, int]
    input_shape: tuple[int, int]

    def to_image(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes ``(N, 4)`` from input pixels to image pixels, clipped to the image; float32."""
        moved = (np.asarray(boxes, np.float32) - self._offset) / np.float32(self.scale)
        height, width = self.image_shape
        return np.clip(moved, 0, np.array([width, height] * 2, np.float32))

    def points_to_image(self, points: np.ndarray) -> np.ndarray:
        """Points ``(..., 2)``, x and y, from input pixels to image pixels; float32, not clipped."""
        return (np.asarray(points, np.float32) - self._offset[:2]) / np.float32(self.scale)

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes ``(N, 4)`` from image pixels to input pixels; float32."""
        return np.asarray(boxes, np.float32) * np.float32(self.scale) + self._offset

    @property
    def _offset(self) -> np.ndarray:
        return np.array([self.left, self.top] * 2, np.float32)


def letterbox(image: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, Placement]:
    """Fit an image into `shape` (height, width) with its proportions kept, centred, padded grey.

    The geometry is that of YOLOv5's validation, small images being enlarged. Shrinking averages
    over areas, enlarging is linear.

    Returns
    -------
    The input, uint8 ``(height, width, 3)``, and where the image lies in it.
    """
    height, width = image.shape[:2]
    scale = min(shape[0] / height, shape[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    if inner != (height, width):
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, inner[::-1], interpolation=interpolation)
    top, left = (shape[0] - inner[0]) // 2, (shape[1] - inner[1]) // 2
    padded = np.full((*shape, 3), PADDING, np.uint8)
    padded[top : top + inner[0], left : left + inner[1]] = image
    return padded, Placement(scale, left, top, (height, width), tuple(shape))


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An RGB image ``(H, W, 3)`` as the network takes it: ``(H, W, channels)``, uint8.

    One channel is ITU-R 601 luma, rounded, as a grayscale camera delivers it.

    Raises
    ------
    SynetError
        `channels` is neither 1 nor 3.
    """
    if channels == 3:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    raise SynetError(f"the model takes {channels} channels; images can be given as 1 or 3")
