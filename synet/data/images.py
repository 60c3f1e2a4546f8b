"""Images: reading, writing, and fitting them into the input of a network.

An image is RGB ``uint8``, ``(height, width, 3)``; boxes are ``xyxy`` in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from synet.data.dialects import DIALECTS, Dialect
from synet.system import optional_packages
from synet.system.errors import DataError, SynetError
from synet.system.files import regular_bytes, write_atomic

try:
    from PIL import Image, ImageOps, features

    # By name, from before ultralytics puts one in its place that installs what it lacks.
    from PIL.Image import open as open_picture
except ModuleNotFoundError:  # OpenCV alone judges and reads what it can
    Image = None

IMAGE_SUFFIXES = frozenset().union(*(each.suffixes for each in DIALECTS.values()))
PADDING = 114  # the grey that YOLO pads with in training and validation
SMALLEST = 10  # pixels of a side that YOLO wants at least
# The brands of files that Pillow turns upright and OpenCV does not, or cannot read at all.
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class MissingDecoder(DataError):
    """An image may be sound, and the package that reads its kind is not installed."""

    def __init__(self, path: str | Path, hint: str) -> None:
        super().__init__(f"{path}: {hint}")
        self.hint = hint


def is_image(file: str | Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> bool:
    """Whether a file is an image, by its suffix; hidden files are not."""
    name = os.path.basename(file)  # not pathlib, which is slow where folders are large
    return os.path.splitext(name)[1].lower() in suffixes and not name.startswith(".")


def read_image(path: str | Path, dialect: Dialect | None = None) -> np.ndarray:
    """Read an image file as RGB, turned upright where its EXIF data says so.

    What kind it is of is told by what is in it, whatever its suffix.

    Parameters
    ----------
    path
        The file.
    dialect
        A YOLO, where the image shall be one that it takes. Default: whatever can be read.

    Returns
    -------
    uint8 ``(H, W, 3)``.

    Raises
    ------
    DataError
        The file is missing, is no image, or is none that the YOLO takes; or a package that reads
        its kind is not installed.
    """
    content = _content(path)
    if dialect is not None:
        _check(path, content, dialect)
    image = _by_pillow(path, content) if _brands(content) & (_AVIF | _HEIC) else _by_opencv(content)
    if image is None:
        raise _damaged(path, content)
    return image


def check_image(path: str | Path, dialect: Dialect) -> None:
    """See that a YOLO takes a file for an image, as far as it looks: not at every pixel.

    Raises
    ------
    DataError
        As `read_image`.
    """
    _check(path, _content(path), dialect)


def _content(path: str | Path) -> bytes:
    try:
        return regular_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot read the image: {error.strerror or error}") from None


def _check(path: str | Path, content: bytes, dialect: Dialect) -> None:
    if Image is None:
        image = _by_opencv(content)
        if image is None:
            raise _damaged(path, content)
        width, height = image.shape[1::-1]
    else:
        width, height = _size(path, content, dialect)
    if min(width, height) < SMALLEST:
        raise DataError(f"{path}: {width}x{height} pixels, and YOLO takes no side below {SMALLEST}")


def _size(path: str | Path, content: bytes, dialect: Dialect) -> tuple[int, int]:
    """Width and height of an image, as it lies in the file, after looking as closely as YOLO."""
    try:
        picture = _opened(path, content)
        picture.verify()
        if picture.format == "JPEG" and not content.endswith(b"\xff\xd9"):
            # YOLO writes such a file anew, if it can be read to its end
            _opened(path, content).load()
    except DataError:
        raise
    except Exception as error:  # a damaged file can raise anything
        why = "" if isinstance(error, Image.UnidentifiedImageError) else f": {error}"
        raise _damaged(path, content, why) from None
    if str(picture.format).lower() not in dialect.formats:
        raise DataError(f"{path}: {dialect.name} takes no {picture.format} images")
    return picture.size


def _opened(path: str | Path, content: bytes) -> Image.Image:
    """An image as Pillow opens it, with the package that adds HEIC to it where that is needed."""
    brands = _brands(content)
    try:
        if brands & (_AVIF | _HEIC):
            optional_packages.load("PIL", "images", "reading AVIF and HEIC")
        if brands & _HEIC and not brands & _AVIF:
            heif = optional_packages.load("pi_heif", "images", "reading HEIC")
            heif.register_heif_opener()
    except SynetError as error:
        raise MissingDecoder(path, str(error)) from None
    if brands & _AVIF and not (features.check("avif") or ".avif" in Image.EXTENSION):
        raise MissingDecoder(path, "reading AVIF needs another Pillow: pip install 'pillow>=11.3'")
    return open_picture(BytesIO(content))


def _by_pillow(path: str | Path, content: bytes) -> np.ndarray | None:
    try:
        return np.asarray(ImageOps.exif_transpose(_opened(path, content)).convert("RGB"))
    except DataError:
        raise
    except Exception:  # a damaged file can raise anything
        return None


def _by_opencv(content: bytes) -> np.ndarray | None:
    # not cv2.imread, which cannot open paths beyond ASCII on Windows
    pixels = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR) if pixels.size else None
    except cv2.error:
        return None
    return image if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _brands(content: bytes) -> set[bytes]:
    """What the first box of a file of the ISO base media format says that it is."""
    if content[4:8] != b"ftyp":
        return set()
    box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
    return {box[at : at + 4] for at in (0, *range(8, len(box), 4))}


def _damaged(path: str | Path, content: bytes, why: str = "") -> DataError:
    return DataError(f"{path}: not an image, or a damaged one ({len(content)} bytes){why}")


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
    return padded, Placement(scale, left, top, (height, width), (shape[0], shape[1]))


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
