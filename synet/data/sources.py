"""Where pictures come from: image files, videos and cameras, and folders and globs of them."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from synet.data.images import is_image, read_image
from synet.data.left_out import told_of_kinds
from synet.data.listing import pictures
from synet.data.videos import Stream, is_video
from synet.system.errors import DataError

LOGGER = logging.getLogger("synet")
WILD = frozenset("*?[")


@dataclass(frozen=True)
class Picture:
    """An image, or a frame of a video or a camera.

    Attributes
    ----------
    image
        uint8 RGB ``(H, W, 3)``.
    frame
        Number of the frame, from 0; None of an image file.
    """

    image: np.ndarray
    frame: int | None = None


@dataclass(frozen=True)
class Source:
    """An image file, a video file or a camera.

    Attributes
    ----------
    file
        The file; None for a camera.
    stream
        Of a video or a camera; None for an image.
    most
        How many frames of a stream are wanted at most; None for all.
    """

    file: Path | None
    stream: Stream | None = None
    most: int | None = None

    @property
    def name(self) -> str:
        """A file name without suffix for what is made of it."""
        if self.stream is not None:
            return self.stream.name
        return self.file.stem if self.file else ""

    @property
    def total(self) -> int | None:
        """How many pictures it holds; None where nobody knows."""
        if self.stream is None:
            return 1
        known = [count for count in (self.stream.total, self.most) if count is not None]
        return min(known, default=None)

    def __str__(self) -> str:
        return str(self.file or self.name)

    def pictures(self) -> Iterator[Picture]:
        """All of them, in order.

        Raises
        ------
        DataError
            It cannot be read.
        """
        if self.stream is not None:
            for number, image in enumerate(islice(self.stream.frames(), self.most)):
                yield Picture(image, number)
        elif self.file is not None:
            yield Picture(read_image(self.file))


def find_sources(places: Iterable[str | Path], most: int | None = None) -> list[Source]:
    """What `places` stand for, in their order; within a folder or a glob sorted by path.

    Parameters
    ----------
    places
        An image or video file; a folder, for the images and videos in it, though not in folders
        below it; a glob such as ``shots/**/*.jpg``, in which ``**`` stands for any folders; the
        number of a camera, where no file is called so.
    most
        Of a video or a camera only so many frames.

    Raises
    ------
    DataError
        There is nothing of that kind, or a video or a camera cannot be opened.
    """
    found: list[Source] = []
    for place in places:
        try:
            found += _at(str(place), most)
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None
    return found


def _at(place: str, most: int | None) -> Iterator[Source]:
    path = Path(place)
    if path.is_dir():
        yield from _all_of(path.iterdir(), most, f"{place}: no images or videos in this folder")
    elif path.is_file():
        yield _source(path, most)
    elif place.isascii() and place.isdigit():
        yield Source(None, Stream.probe(int(place)), most)
    elif WILD & set(place):
        paths = map(Path, glob.iglob(place, recursive=True))
        yield from _all_of(paths, most, f"{place}: no image or video has such a path")
    else:
        raise DataError(f"{place}: no such image, video or folder")


def _all_of(paths: Iterable[Path], most: int | None, nothing: str) -> Iterator[Source]:
    files: list[Path] = []
    others: list[Path] = []
    for path in filter(Path.is_file, paths):
        (files if is_image(path) or is_video(path) else others).append(path)
    left_out = pictures(map(str, others))
    if not files:
        raise DataError(f"{nothing}; {told_of_kinds(left_out, 'SyNet')}" if left_out else nothing)
    if left_out:
        folder = others[0].parent
        LOGGER.warning("%s: left out: %s", folder, told_of_kinds(left_out, "SyNet"))
    files.sort()
    for file in files:
        yield _source(file, most)


def _source(file: Path, most: int | None) -> Source:
    return Source(file, Stream.probe(file), most) if is_video(file) else Source(file)
