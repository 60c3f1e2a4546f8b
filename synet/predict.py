"""Run a detector on image files and save them with what it found drawn in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import track

from synet.draw import draw
from synet.errors import DataError, SynetError
from synet.images import is_image, read_image, write_image
from synet.predictor import detect, load_predictor

LOGGER = logging.getLogger("synet")
NOT_DRAWN = {"pose": "keypoints", "segment": "masks", "obb": "the rotation of boxes"}


def predict(
    model: str | Path,
    images: Iterable[str | Path],
    out_dir: str | Path = "runs/predict",
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    confidence: float = 0.25,
    iou: float = 0.45,
    progress: bool = True,
) -> list[Path]:
    """Save each image as a JPEG with its boxes drawn in, in a new folder under `out_dir`.

    Nothing is overwritten: the folder is the first of ``exp``, ``exp2``, ``exp3``, ... that is not
    there yet, and images of the same name get a number.

    Parameters
    ----------
    model, image_shape, repo
        As for `synet.predictor.load_predictor`.
    images
        Image files; a folder stands for the images in it.
    confidence, iou
        As for `synet.detections.select`.
    progress
        Whether to show a progress bar on stderr.

    Returns
    -------
    The files that were written, in the order of `images`.

    Raises
    ------
    SynetError
        The model cannot be run, or a file not written; a `DataError` where an image is missing
        or cannot be read.
    """
    files = list(_files(images))
    predictor = load_predictor(model, image_shape, repo)
    folder = _new_folder(Path(out_dir))
    taken: set[str] = set()
    saved = []
    steps: Iterable[Path] = files
    if progress:
        steps = track(files, Path(model).name, console=Console(stderr=True))
    for file in steps:
        image = read_image(file)
        found = detect(predictor, image, confidence, iou)
        picture = draw(image, found, predictor.names)
        saved.append(write_image(folder / _new_name(file.stem, taken), picture))
    if predictor.task in NOT_DRAWN:
        LOGGER.warning(
            "%s tells %s, too, which are not drawn here; `synet ultralytics predict` draws them",
            model,
            NOT_DRAWN[predictor.task],
        )
    return saved


def _files(images: Iterable[str | Path]) -> Iterator[Path]:
    for path in map(Path, images):
        if path.is_dir():
            inside = sorted(filter(is_image, path.iterdir()))
            if not inside:
                raise DataError(f"{path}: no images in this folder")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise DataError(f"{path}: no such image")


def _new_folder(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = parent / f"exp{number if number > 1 else ''}"
            with suppress(FileExistsError):
                folder.mkdir()
                break
    except OSError as error:
        raise SynetError(f"cannot write to {parent}: {error.strerror or error}") from None
    return folder


def _new_name(stem: str, taken: set[str]) -> str:
    names = (f"{stem}{f'-{number}' if number > 1 else ''}.jpg" for number in count(1))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())  # lower: some file systems do not tell A.jpg from a.jpg
    return name
