"""Run a model on images, videos and cameras, and save what it found: drawn, as JSON, and raw."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, count, groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from synet.data.images import Placement, write_image
from synet.data.sources import Picture, Source, find_sources
from synet.data.videos import video_writer
from synet.detections.coco_json import class_entries, found_entries, image_id
from synet.detections.detections import NMS_IOU, SHOWN_CONFIDENCE
from synet.detections.draw import caption, draw, side_by_side
from synet.models.decode import decode
from synet.models.detect import fit
from synet.models.predictor import Predictor, load_predictor, require_torch
from synet.system.batches import in_batches
from synet.system.errors import SynetError
from synet.system.files import atomic_path, new_folder, write_atomic
from synet.system.private import sweep
from synet.system.steps import giving_way
from synet.system.terminal import Terminal
from synet.tflite.kernels import REFERENCE, Kernels

LOGGER = logging.getLogger("synet")
PREDICTIONS, IMAGES, RAW = "predictions.json", "images.json", "raw"
Told = tuple[dict[str, np.ndarray], Placement | None]  # of an image, and where it lies in the input


@dataclass(frozen=True)
class Predicted:
    """What `predict` has written.

    Attributes
    ----------
    folder
        Where it lies: the first of ``exp``, ``exp2``, ``exp3``, ... that was not there. In it are

        - ``predictions.json``, COCO's form of results, see `synet.detections.coco_json`, and
          ``images.json``, which says what its image and category ids stand for, as COCO has images
          and categories, and as COCO's info the model and the kernels that it ran on;
        - ``raw/<image>/<role>.npy``, what the network told: see `Predictor.outputs`;
        - what is `drawn`.
    drawn
        Each image as a JPEG and each video as an MPEG-4, in the order of the sources.
    images
        How many images and frames.
    found
        How many objects in them; of a classifier, how many classes: one an image.
    kernels
        What a TFLite file ran on, see `synet.tflite.kernels`; None of all else.
    """

    folder: Path
    drawn: tuple[Path, ...]
    images: int
    found: int
    kernels: Kernels | None = field(default=None, compare=False)


def predict(
    model: str | Path,
    sources: Iterable[str | Path],
    out_dir: str | Path = "runs/predict",
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    confidence: float = SHOWN_CONFIDENCE,
    iou: float = NMS_IOU,
    beside: str | Path | None = None,
    raw: bool | None = None,
    frames: int | None = None,
    progress: bool = True,
    kernels: str = REFERENCE,
    device: str = "",
    batch: int = 1,
    cfg: str | Path | None = None,
) -> Predicted:
    """Save what a model finds in images, videos and what a camera sees, in a new folder.

    For what is in it see `Predicted`. Nothing is overwritten, and sources of the same name get a
    number. An error or Ctrl-C leaves the same of the images before. A camera goes on until Ctrl-C.

    Parameters
    ----------
    model, image_shape, repo, kernels, device, batch, cfg
        As for `synet.models.predictor.load_predictor`; the last four of `beside`, too. Images run
        together, and frames of one video.
    sources, frames
        As `places` and `most` of `synet.data.sources.find_sources`.
    out_dir
        The folder is made in it.
    confidence, iou
        As for `synet.detections.detections.best_rows`.
    beside
        Another model of the same task, the float one as a rule: what it finds is drawn on the left
        of what `model` finds, and not told in the JSON.
    raw
        Whether to save what the network told. Default: of images, not of videos and cameras.
    progress
        Whether to show a progress bar on stderr.

    Raises
    ------
    SynetError
        A model cannot be run, or a file not written; a `DataError` where a source cannot be read.

    Examples
    --------
    >>> made = synet.predict("best.tflite", ["street.jpg"], progress=False)
    >>> made.images, made.drawn[0].name, (made.folder / "predictions.json").is_file()
    (1, 'street.jpg', True)
    """
    require_torch([model, beside], device, batch)
    found = find_sources(sources, frames)
    settings = {"classifiers": True, "kernels": kernels, "device": device, "batch": batch}
    opened = _opened(model, beside, image_shape, repo, settings | {"cfg": cfg})
    looks = [_Look(predictor, name, confidence, iou) for name, predictor in opened]
    _sweep_killed(Path(out_dir))
    return _Run(new_folder(out_dir), looks, raw).through(found, progress)


def _sweep_killed(out_dir: Path) -> None:
    """Remove what was half-written when a run was killed; what it had drawn stays."""
    for folder in out_dir.glob("exp*"):
        if not (folder / PREDICTIONS).exists():
            sweep(folder, pattern="**/*")


def _opened(
    model: str | Path,
    beside: str | Path | None,
    image_shape: tuple[int, int] | None,
    repo: str | Path | None,
    settings: dict[str, Any],
) -> list[tuple[str, Predictor]]:
    """The model, by its file's name; before it the other one, as it is drawn on the left.

    That one runs at the same shape if it is not bound to one of its own.
    """
    predictor = load_predictor(model, image_shape, repo, **settings)
    opened = [(Path(model).name, predictor)]
    if beside is None:
        return opened
    shape = predictor.image_shape if Path(beside).suffix == ".pt" else None
    twin = load_predictor(beside, shape, repo, **settings)
    if twin.task != predictor.task:
        raise SynetError(
            f"{beside}: is a model for {twin.task}, and the other one for {predictor.task}; "
            f"side by side, both are of one task"
        )
    return [(Path(beside).name, twin), *opened]


@dataclass(frozen=True)
class _Look:
    """A model, and how to show what it finds."""

    predictor: Predictor
    title: str
    confidence: float
    iou: float

    def tell(self, pictures: Sequence[Picture]) -> list[Told]:
        """What the network tells of each picture."""
        pixels, placements = zip(
            *(fit(self.predictor, picture.image) for picture in pictures), strict=True
        )
        return list(zip(self.predictor.outputs_of(pixels), placements, strict=True))

    def __call__(
        self, image: np.ndarray, identity: int | str, told: Told
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The image, drawn, and entries of the JSON."""
        (outputs, placement), names = told, self.predictor.names
        if placement is None:
            probabilities = outputs["probabilities"]
            return caption(image, probabilities, names), class_entries(identity, probabilities)
        found = decode(outputs, placement, self.confidence, self.iou, masks=True)
        return draw(image, found, names), found_entries(identity, found)


@dataclass
class _Run:
    """A folder that is filled, source by source; the last of `looks` is the model itself."""

    folder: Path
    looks: list[_Look]
    raw: bool | None
    drawn: list[Path] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    _taken: set[int | str] = field(default_factory=set)

    def through(self, sources: Sequence[Source], progress: bool) -> Predicted:
        """Go through all sources, and write the JSON of what is drawn, however that ends."""
        totals = [source.total for source in sources]
        own = self.looks[-1]
        try:
            with giving_way(), Progress(console=Terminal(stderr=True), disable=not progress) as bar:
                total = None if None in totals else sum(totals)
                task = bar.add_task(escape(own.title), total=total)
                for is_image, group in groupby(sources, key=lambda each: each.stream is None):
                    draw = self.photos if is_image else self.videos
                    draw(list(group), lambda: bar.advance(task))
        finally:
            self.finish()
        made = tuple(self.drawn), len(self.images), len(self.predictions)
        return Predicted(self.folder, *made, own.predictor.kernels)

    def photos(self, sources: Sequence[Source], advance: Callable[[], None]) -> None:
        """Draw and save images; `advance` is called after each."""
        pictures = chain.from_iterable(source.pictures() for source in sources)
        for source, (picture, told) in zip(sources, self._told(pictures), strict=True):
            name = self._new_name(source.name)
            with self._whole(name):
                joined = self._look(picture, told, source, name, self.raw is not False)
                self.drawn.append(write_image(self.folder / f"{name}.jpg", joined))
            advance()

    def videos(self, sources: Sequence[Source], advance: Callable[[], None]) -> None:
        """Draw and save videos and what cameras see; `advance` is called after each frame.

        Raises
        ------
        KeyboardInterrupt
            A video was stopped; what is drawn of it is complete up to there.
        """
        for source in sources:
            name = self._new_name(source.name)
            with self._whole(name):
                stopped = self._video(source, name, advance)
            if stopped and not source.stream.is_camera:
                raise KeyboardInterrupt

    def finish(self) -> None:
        """Write the JSON of what is drawn, or leave nothing where that is nothing."""
        if not self.drawn:
            shutil.rmtree(self.folder)
            return
        predictor, names = self.looks[-1].predictor, self.looks[-1].predictor.names
        about = {  # with which pycocotools takes it for a data set
            "info": {
                "model": self.looks[-1].title,
                "kernels": asdict(predictor.kernels) if predictor.kernels else None,
            },
            "images": self.images,
            "annotations": [],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        }
        write_atomic(self.folder / IMAGES, json.dumps(about, indent=1, ensure_ascii=False))
        write_atomic(self.folder / PREDICTIONS, _one_a_line(self.predictions))

    @contextmanager
    def _whole(self, name: str) -> Iterator[None]:
        """What is not drawn is not told, either."""
        before = len(self.images), len(self.predictions)
        try:
            yield
        except BaseException:  # Ctrl-C, too
            del self.images[before[0] :], self.predictions[before[1] :]
            shutil.rmtree(self.folder / RAW / name, ignore_errors=True)
            (self.folder / f"{name}.jpg").unlink(missing_ok=True)
            raise

    def _told(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, tuple[Told, ...]]]:
        """Each picture, and what the network of each look tells of it."""
        size = max(look.predictor.batch for look in self.looks)
        for together in in_batches(pictures, size):
            told = zip(*(look.tell(together) for look in self.looks), strict=True)
            yield from zip(together, told, strict=True)

    def _video(self, source: Source, name: str, advance: Callable[[], None]) -> bool:
        """Whether Ctrl-C has stopped it."""
        file, done = self.folder / f"{name}.mp4", 0
        with (
            video_writer(file, source.stream.frames_per_second) as write,
            _ctrl_c_waits() as is_stopped,
        ):
            for picture, told in self._told(source.pictures()):
                write(self._look(picture, told, source, name, bool(self.raw)))
                advance()
                done += 1
                if is_stopped():
                    break
        self.drawn.append(file)
        if source.total and done < source.total and not is_stopped():
            LOGGER.warning("%s: ends at frame %d of %d", source, done, source.total)
        return is_stopped()

    def _look(
        self, picture: Picture, told: Sequence[Told], source: Source, name: str, raw: bool
    ) -> np.ndarray:
        """What all models make of a picture, side by side; of the last, told and saved."""
        key = name if picture.frame is None else f"{name}/{picture.frame}"
        identity = image_id(key)
        shown = []
        for look, of_look in zip(self.looks, told, strict=True):
            drawn, entries = look(picture.image, identity, of_look)
            shown.append((look.title, drawn))
        outputs, _ = told[-1]
        for role, values in outputs.items() if raw else ():
            with atomic_path(self.folder / RAW / key / f"{role}.npy") as temporary:
                np.save(temporary, values)
        height, width = picture.image.shape[:2]
        about = {"id": identity, "file_name": str(source), "width": width, "height": height}
        if picture.frame is not None:
            about["frame"] = picture.frame
        self.images.append(about)
        self.predictions += entries
        return shown[0][1] if len(shown) == 1 else side_by_side(shown)

    def _new_name(self, stem: str) -> str:
        """`stem`, or with a number such that no file and no id is there twice."""
        names = (f"{stem}{f'-{number}' if number > 1 else ''}" for number in count(1))
        # lower: some file systems do not tell A.jpg from a.jpg
        name = next(name for name in names if image_id(name.lower()) not in self._taken)
        self._taken.add(image_id(name.lower()))
        return name


@contextmanager
def _ctrl_c_waits() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, which interrupts nothing the first time: a frame is finished."""
    times = 0

    def press(*_: Any) -> None:
        nonlocal times
        times += 1
        if times > 1:
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()  # others may not ask for it
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: times > 0
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _one_a_line(entries: list[dict[str, Any]]) -> str:
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"[\n{lines}\n]\n" if entries else "[]\n"
