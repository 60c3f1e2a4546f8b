"""One way to run a model, whether it is a torch checkpoint or a TFLite file, whatever its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from synet.data.calibration import filled
from synet.data.images import Placement
from synet.data.yolo_yaml import letterbox, to_channels
from synet.detections.detections import Detections, best_rows
from synet.detections.masks import draw_masks
from synet.models.tflite_predictor import TflitePredictor
from synet.models.torch_predictor import TorchPredictor, device_of
from synet.rotated import enclosing_boxes
from synet.system.errors import SynetError
from synet.system.steps import step
from synet.system.text import height_by_width
from synet.tflite.kernels import REFERENCE, SAMPLE, Kernels, open_model
from synet.tflite.metadata import warn_of

CLASSIFIER = (
    "is a classifier, and finds no boxes; `synet predict` shows its classes, and "
    "`synet ultralytics val` measures them"
)


class Predictor(Protocol):
    """What evaluation and drawing ask of a model.

    Attributes
    ----------
    image_shape
        Height and width of its input.
    channels
        1 for grayscale, 3 for RGB.
    names
        Class names, by class id; ``"0"``, ``"1"``, ... where the model does not name them.
    task
        detect, pose, segment, obb or classify.
    threads
        Of the processor, that it runs on.
    trained_by
        The line of YOLOs that trained it, as in `synet.data.dialects`; empty where nobody knows.
    single_class
        Whether it was trained with all classes as one (``single_cls``).
    batch
        So many images it takes in one run.
    at_once
        So many runs may go on at the same time, in as many threads.
    kernels
        What a TFLite file has run on so far; None of all else.
    """

    image_shape: tuple[int, int]
    channels: int
    names: tuple[str, ...]
    task: str
    trained_by: str
    single_class: bool
    batch: int

    @property
    def threads(self) -> int: ...

    @property
    def at_once(self) -> int: ...

    @property
    def kernels(self) -> Kernels | None: ...

    def outputs(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the network tells of one uint8 image ``(height, width, channels)``, by role.

        Float32, neither thresholded nor suppressed; for the roles see
        `synet.detections.tflite_outputs.TfliteNetwork`.
        """
        ...

    def outputs_of(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """As `outputs`, of each of some images, `batch` at most."""
        ...

    @property
    def stages(self) -> tuple[Callable[[Any], Any], ...]:
        """`outputs` in three, each of which takes what the one before gave.

        From an image to the network's input, the network alone, and from what it told to roles.
        """
        ...


def load_predictor(
    model: str | Path,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    classifiers: bool = False,
    threads: int | None = None,
    kernels: str = REFERENCE,
    checked: int = SAMPLE,
    device: str = "",
    batch: int = 1,
) -> Predictor:
    """Open a ``.pt`` checkpoint or a ``.tflite`` file.

    Parameters
    ----------
    model
        The file.
    image_shape
        Height and width to run at; without it, the model's own. A TFLite file has just one; the
        same two turned are an error for any model.
    repo
        The YOLOv5 fork that a checkpoint was trained with; the installed package if not given.
    classifiers
        Whether a model will do that tells the class of an image, and finds nothing in it.
    threads, kernels, checked
        Of a TFLite file: so many threads of the processor, the ``reference`` kernels, which chips
        are tested against, or the ``fast`` ones; on these, so many images run on the reference
        kernels as well, and the difference is told. See `synet.tflite.kernels`.
    device, batch
        Of a torch network: ``cpu``, ``0``, ``cuda:1``, ``mps``, in the words of torch or of YOLO,
        and how many images it takes in one run, at most. A TFLite file takes one, on the processor.

    Raises
    ------
    SynetError
        The file is missing, of another kind, or its outputs are not those of a model that is
        asked for; there is no such device, or `batch` is not at least 1.

    Examples
    --------
    >>> predictor = synet.load_predictor("best.tflite")
    >>> predictor.task, predictor.image_shape, predictor.names
    ('detect', (64, 96), ('circle', 'square', 'triangle'))
    """
    path = Path(model)
    if batch < 1:
        raise SynetError(f"batch: {batch} is not at least 1")
    if path.suffix not in {".pt", ".tflite"}:
        raise SynetError(f"{path}: expected a .pt checkpoint or a .tflite file")
    if not path.is_file():
        raise SynetError(f"{path}: no such file")
    step(f"loading {model}")
    if path.suffix == ".pt":
        predictor = _torch_predictor(path, image_shape, repo, device, batch)
    else:
        predictor = _tflite_predictor(path, image_shape, threads, kernels, checked)
    if predictor.task == "classify" and not classifiers:
        raise SynetError(f"{model}: {CLASSIFIER}")
    return predictor


def require_torch(models: Iterable[str | Path | None], device: str = "", batch: int = 1) -> None:
    """See that torch can do what is asked of it alone, before any of `models` is opened.

    Raises
    ------
    SynetError
        It has no such device; or none of them is a checkpoint, so that it would not run at all.
    """
    asked = [f"--batch {batch}"] if batch > 1 else []
    asked += [f"--device {device}"] if device not in {"", "cpu"} else []
    if asked and all(Path(model).suffix == ".tflite" for model in models if model is not None):
        raise SynetError(
            f"{asked[0]}: is of a .pt checkpoint, and none runs here; a .tflite takes one image at "
            "a time, on the processor"
        )
    if device not in {"", "cpu"}:
        device_of(device)


def _tflite_predictor(
    path: Path,
    image_shape: tuple[int, int] | None,
    threads: int | None,
    kernels: str,
    checked: int,
) -> TflitePredictor:
    model = open_model(path, threads, kernels, checked)
    warn_of(model.name, model.metadata)
    own = model.image_shape
    if _asked(path, image_shape, own) not in {None, own}:
        raise SynetError(
            f"{path}: takes images of {height_by_width(own)}, not {height_by_width(image_shape)}"
        )
    return TflitePredictor(model)


def _torch_predictor(
    path: Path,
    image_shape: tuple[int, int] | None,
    repo: str | Path | None,
    device: str,
    batch: int,
) -> TorchPredictor:
    from synet.models import forks

    network = forks.load_model(path, repo=repo)
    shape = _asked(path, image_shape, network.image_shape) or network.image_shape
    if shape is None:
        raise SynetError(f"{path}: does not say its image shape; give --image-shape H W")
    network = network.to(device_of(device)) if device else network
    return TorchPredictor(network, shape, str(path), batch)


def fit(predictor: Predictor, image: np.ndarray) -> tuple[np.ndarray, Placement | None]:
    """An RGB image ``(H, W, 3)`` of any size as a model's input, and where it lies in that.

    It is letterboxed; for a classifier it fills the input, as ultralytics validates, and lies
    nowhere.
    """
    if predictor.task == "classify":
        return to_channels(filled(image, predictor.image_shape), predictor.channels), None
    padded, placement = letterbox(image, predictor.image_shape)
    return to_channels(padded, predictor.channels), placement


def detect(
    predictor: Predictor,
    image: np.ndarray,
    confidence: float,
    iou: float,
    max_detections: int = 300,
    masks: bool = False,
) -> Detections:
    """Find objects in an image of any size.

    Parameters
    ----------
    predictor
        The model.
    image
        uint8 RGB ``(H, W, 3)``, as `synet.data.yolo_yaml.read_image` gives it.
    confidence, iou, max_detections, masks
        As for `decode`.

    Returns
    -------
    Detections in the pixels of `image`, the highest score first.

    Examples
    --------
    >>> from synet.data.yolo_yaml import read_image
    >>> predictor = synet.load_predictor("best.tflite")
    >>> found = synet.detect(predictor, read_image("street.jpg"), confidence=0.25, iou=0.45)
    >>> found.boxes.shape  # x1, y1, x2, y2 of each; none by a network that was never trained
    (0, 4)
    """
    pixels, placement = fit(predictor, image)
    return decode(predictor.outputs(pixels), placement, confidence, iou, max_detections, masks)


def decode(
    outputs: dict[str, np.ndarray],
    placement: Placement,
    confidence: float,
    iou: float,
    max_detections: int = 300,
    masks: bool = False,
) -> Detections:
    """Objects in an image, from what a network told of it.

    Parameters
    ----------
    outputs
        As `Predictor.outputs` gives them.
    placement
        Where the image lies in the input.
    confidence, iou, max_detections
        As for `synet.detections.detections.best_rows`.
    masks
        Whether to draw masks, where the task has them: each is as large as the image.

    Returns
    -------
    Detections in the pixels of the image, the highest score first.
    """
    rotated = outputs.get("rotated")
    boxes = rotated
    if rotated is None:
        boxes = np.concatenate([outputs["x1y1"], outputs["x2y2"]], axis=1)
    rows, classes = best_rows(boxes, outputs["scores"], confidence, iou, max_detections)
    boxes = boxes[rows]
    found: dict[str, np.ndarray] = {}
    if rotated is not None:
        centres, sizes = placement.points_to_image(boxes[:, :2]), boxes[:, 2:4] / placement.scale
        found["rotated"] = np.concatenate([centres, sizes, boxes[:, 4:]], axis=1)
        boxes = enclosing_boxes(boxes)
    if "keypoints" in outputs:
        points = placement.points_to_image(outputs["keypoints"][rows])
        presence = outputs["presence"][rows] if "presence" in outputs else np.ones(points.shape[:2])
        found["keypoints"] = np.concatenate([points, presence[..., None]], axis=2)
    boxes = placement.to_image(boxes)
    if masks and "prototypes" in outputs:
        found["masks"] = draw_masks(
            outputs["coefficients"][rows], outputs["prototypes"], boxes, placement
        )
    return Detections(boxes, outputs["scores"][rows, classes], classes, **found)


def _asked(
    path: Path, image_shape: tuple[int, int] | None, own: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The image shape that was asked for, unless it is the model's own, turned."""
    asked = tuple(image_shape) if image_shape else None
    if asked and own and asked == own[::-1] != own:
        raise SynetError(
            f"{path}: the image shape {asked[0]} {asked[1]} is its own turned; height comes first: "
            f"--image-shape {own[0]} {own[1]}"
        )
    return asked
