"""Moving pictures: reading a video file or a camera frame by frame, and writing a video."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from synet.system.errors import DataError, SynetError
from synet.system.files import atomic_path
from synet.system.streams import quiet

VIDEO_SUFFIXES = frozenset(".asf .avi .gif .m4v .mkv .mov .mp4 .mpeg .mpg .ts .webm .wmv".split())
CODEC = "mp4v"  # MPEG-4, which OpenCV writes everywhere with nothing else installed
USUAL_SPEED = 25.0  # frames a second, where a stream does not tell


def is_video(file: str | Path) -> bool:
    """Whether a file is a video, by its suffix; hidden files are not."""
    path = Path(file)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Stream:
    """A video file or a camera.

    Attributes
    ----------
    source
        The file, or the number of the camera.
    total
        How many frames a file says it has; None where it does not, and of a camera.
    frames_per_second
        As it says, 25 where it does not.
    """

    source: Path | int
    total: int | None
    frames_per_second: float

    @classmethod
    def probe(cls, source: Path | int) -> Stream:
        """What a video file or a camera says of itself.

        Raises
        ------
        DataError
            It cannot be opened.
        """
        with _opened(source) as capture:
            total, speed = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        known = isinstance(source, Path) and math.isfinite(total) and total > 0
        tells_speed = math.isfinite(speed) and speed > 0
        return cls(source, int(total) if known else None, speed if tells_speed else USUAL_SPEED)

    @property
    def is_camera(self) -> bool:
        """Whether it goes on until somebody stops it."""
        return isinstance(self.source, int)

    @property
    def name(self) -> str:
        """A file name without suffix for what is made of it."""
        return f"camera{self.source}" if isinstance(self.source, int) else self.source.stem

    def frames(self) -> Iterator[np.ndarray]:
        """Its frames, uint8 RGB ``(H, W, 3)``, as long as there are any.

        Raises
        ------
        DataError
            It cannot be opened, or there is not a single one.
        """
        with _opened(self.source) as capture:
            there, frame = capture.read()
            if not there:
                raise DataError(f"{_called(self.source)}: no frame of it can be read")
            while there:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                there, frame = capture.read()


@contextmanager
def video_writer(
    path: str | Path, frames_per_second: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an MPEG-4 video with a function that takes its frames, uint8 RGB, all of one size.

    The file is there when the block has succeeded. An odd width or height loses its last pixel.

    Raises
    ------
    SynetError
        The file cannot be written.
    """
    writer, count = None, 0

    def write(frame: np.ndarray) -> None:
        nonlocal writer, count
        if writer is None:
            code, size = cv2.VideoWriter.fourcc(*CODEC), frame.shape[1::-1]
            speed = float(f"{frames_per_second:.4g}")  # MPEG-4 has no room for more digits
            writer = cv2.VideoWriter(str(temporary), code, speed, size)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        count += 1

    with atomic_path(path) as temporary:
        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        if _frames_in(temporary) != count:  # the writer tells of no failure
            raise SynetError(f"cannot write {path}: the video did not come out whole; disk full?")


def _frames_in(file: Path) -> int | None:
    try:
        return Stream.probe(file).total
    except DataError:
        return None


@contextmanager
def _opened(source: Path | int) -> Iterator[cv2.VideoCapture]:
    # What FFmpeg thinks of a damaged file it prints; that file is told in a line of our own.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with quiet():
        capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    try:
        if not capture.isOpened():
            what = "no such camera" if isinstance(source, int) else "not a video, or a damaged one"
            raise DataError(f"{_called(source)}: {what}")
        yield capture
    finally:
        capture.release()


def _called(source: Path | int) -> str:
    return f"camera {source}" if isinstance(source, int) else str(source)
