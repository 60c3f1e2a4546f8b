"""One way to run a detector, whether it is a torch checkpoint or a TFLite file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from synet.data import letterbox, to_channels
from synet.detections import Detections, select
from synet.errors import SynetError
from synet.roles import TfliteNetwork, class_names, task_of
from synet.rotated import cell_centres, enclosing_boxes, rotated_boxes

if TYPE_CHECKING:
    import torch

    from synet.tflite import TfliteModel

CLASSIFIER = "is a classifier, and finds no boxes; `synet ultralytics val` and `predict` run it"


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
        detect, pose, segment or obb: a model may tell more than its boxes. Of rotated ones, boxes
        are those around them.
    """

    image_shape: tuple[int, int]
    channels: int
    names: tuple[str, ...]
    task: str

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run on one uint8 image ``(height, width, channels)``.

        Returns
        -------
        Boxes, float32 ``(R, 4)``, xyxy in input pixels, and scores, float32 ``(R, classes)``, 0-1;
        neither thresholded nor suppressed.
        """
        ...


def load_predictor(
    model: str | Path,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
) -> Predictor:
    """Open a ``.pt`` checkpoint or a ``.tflite`` file.

    Parameters
    ----------
    model
        The file.
    image_shape
        Height and width to run at; without it, the model's own. A TFLite file has just one.
    repo
        The YOLOv5 fork that a checkpoint was trained with; the installed package if not given.

    Raises
    ------
    SynetError
        The file is missing, of another kind, or its outputs are not those of a detector.
    """
    path = Path(model)
    if path.suffix not in {".pt", ".tflite"}:
        raise SynetError(f"{path}: expected a .pt checkpoint or a .tflite file")
    if not path.is_file():
        raise SynetError(f"{path}: no such file")
    if path.suffix == ".pt":
        from synet.backends import forks

        network = forks.load_model(path, repo=repo)
        shape = _in_order(image_shape, network.image_shape) or network.image_shape
        if shape is None:
            raise SynetError(f"{path}: does not say its image shape; give --image-shape H W")
        return TorchPredictor(network, shape, name=str(path))

    from synet.tflite import TfliteModel

    network = TfliteModel(path)
    if _in_order(image_shape, network.image_shape) not in {None, network.image_shape}:
        asked, own = ("x".join(map(str, shape)) for shape in (image_shape, network.image_shape))
        raise SynetError(f"{path}: takes images of {own} (height x width), not {asked}")
    return TflitePredictor(network)


def detect(
    predictor: Predictor,
    image: np.ndarray,
    confidence: float,
    iou: float,
    max_detections: int = 300,
) -> Detections:
    """Find objects in an image of any size.

    Parameters
    ----------
    predictor
        The model.
    image
        uint8 RGB ``(H, W, 3)``, as `synet.data.read_image` gives it.
    confidence, iou, max_detections
        As for `synet.detections.select`.

    Returns
    -------
    Detections in the pixels of `image`, the highest score first.
    """
    padded, placement = letterbox(image, predictor.image_shape)
    boxes, scores = predictor(to_channels(padded, predictor.channels))
    found = select(boxes, scores, confidence, iou, max_detections)
    return Detections(placement.to_image(found.boxes), found.scores, found.classes)


class TorchPredictor:
    """A YOLO network in evaluation mode, decoded by its own head; see `Predictor`.

    Parameters
    ----------
    network
        Maps float NCHW images in 0-1 to what its detection head makes of them; has ``names``, and
        may have the ``yaml`` it was built from.
    image_shape
        Height and width to run at.
    name
        What to call it in messages.

    Raises
    ------
    SynetError
        Its head is none that SyNet knows.
    """

    def __init__(
        self, network: torch.nn.Module, image_shape: tuple[int, int], name: str = "the model"
    ) -> None:
        from synet.layers.heads import find_head
        from synet.layers.heads.classes import ClassForm

        self.image_shape = tuple(image_shape)
        self.names = class_names(network.names)
        self.channels = image_channels(network)
        self._network = network.eval().float()
        with _named(name):
            head, form = find_head(network)
            if isinstance(form, ClassForm):
                raise SynetError(CLASSIFIER)
            if head.nc != len(self.names):
                raise SynetError(f"scores {head.nc} classes, but names {len(self.names)}")
        self.task = "detect"  # what else it tells is seen when it runs
        self._strides = [float(stride) for stride in getattr(head, "stride", ())]
        self._name = name

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from synet.layers.heads import run_network

        weight = next(self._network.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        with _named(self._name):
            found = run_network(self._network, pixels.to(weight.device, weight.dtype) / 255)
        found = {role: values[0].cpu().numpy() for role, values in found.items()}
        self.task = task_of(found) or self.task
        if self.task == "obb":
            cells = cell_centres(self.image_shape, self._strides)
            found["rotated"] = rotated_boxes(found["sides"], found["angle"], cells)
        return _boxes(found), found["scores"]


def image_channels(network: torch.nn.Module) -> int:
    """Channels of the image that a network's file takes: 1 for grayscale, 3 for colour."""
    built = getattr(network, "synet", {}).get("channels")
    definition = getattr(network, "yaml", {})
    return int(built or definition.get("ch") or definition.get("channels") or 3)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of which model an error speaks."""
    try:
        yield
    except SynetError as error:
        raise type(error)(f"{name}: {error}") from error


class TflitePredictor:
    """A TFLite model that tells boxes, of whatever task; see `Predictor` and `synet.roles`.

    Raises
    ------
    SynetError
        The outputs are not those of a detector.
    """

    def __init__(self, model: TfliteModel) -> None:
        self._network = network = TfliteNetwork(model)
        if network.task == "classify":
            raise SynetError(f"{network.name}: {CLASSIFIER}")
        self.image_shape, self.channels = network.image_shape, network.channels
        self.names = network.names or tuple(map(str, range(network.classes)))
        self.task = network.task

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self._network(image)
        return _boxes(found), found["scores"]


def _boxes(found: dict[str, np.ndarray]) -> np.ndarray:
    if "rotated" in found:
        return enclosing_boxes(found["rotated"])
    return np.concatenate([found["x1y1"], found["x2y2"]], axis=1)


def _in_order(
    image_shape: tuple[int, int] | None, own: tuple[int, int] | None
) -> tuple[int, int] | None:
    """`image_shape` as height and width: a size given as width and height is known by `own`."""
    if image_shape is None:
        return None
    height, width = image_shape
    return (width, height) if (width, height) == own else (height, width)
