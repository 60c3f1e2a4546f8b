"""One way to run a detector, whether it is a torch checkpoint or a TFLite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synet.data import letterbox, to_channels
from synet.detections import Detections, select
from synet.errors import SynetError

if TYPE_CHECKING:
    import torch

    from synet.tflite import Port, TfliteModel

OUTPUTS = "x1y1 (1, R, 2), x2y2 (1, R, 2) and scores (1, R, classes)"


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
    """

    image_shape: tuple[int, int]
    channels: int
    names: tuple[str, ...]

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

        self.image_shape = tuple(image_shape)
        self.names = _names(network.names)
        self.channels = image_channels(network)
        self._network = network.eval().float()
        with _named(name):
            head, _ = find_head(network)
            if head.nc != len(self.names):
                raise SynetError(f"scores {head.nc} classes, but names {len(self.names)}")
        self._name = name

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from synet.layers.heads import run_network

        weight = next(self._network.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        with _named(self._name):
            found = run_network(self._network, pixels.to(weight.device, weight.dtype) / 255)
        first, second, scores = (found[k][0].cpu().numpy() for k in ("x1y1", "x2y2", "scores"))
        return np.concatenate([first, second], axis=1), scores


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
    """A TFLite detector with box corners and scores as outputs of their own; see `Predictor`.

    Outputs are known by the names x1y1, x2y2 and scores. A file that does not name them is told
    apart by shape, the smaller of the two corners being x1y1; outputs of four dimensions, such as
    keypoints, are then left aside.

    Raises
    ------
    SynetError
        The outputs are not those of a detector.
    """

    def __init__(self, model: TfliteModel) -> None:
        self._model = model
        self._corners, self._scores, self._named = _outputs(model)
        self.image_shape = model.image_shape
        self.channels = model.channels
        classes = self._scores.shape[-1]
        self.names = _names(model.metadata.get("names") or map(str, range(classes)))
        if len(self.names) != classes:
            raise SynetError(
                f"{model.name}: scores {classes} classes, but its metadata names {len(self.names)}"
            )

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self._model.run(image)
        first, second = (found[port.name][0] for port in self._corners)
        if not self._named:
            first, second = np.minimum(first, second), np.maximum(first, second)
        return np.concatenate([first, second], axis=1), found[self._scores.name][0]


def _outputs(model: TfliteModel) -> tuple[tuple[Port, Port], Port, bool]:
    """The two corners, the scores, and whether their names say which corner is which."""
    ports = {port.name: port for port in model.outputs}
    named = {"x1y1", "x2y2", "scores"} <= ports.keys()
    if named:
        corners, scores = [ports["x1y1"], ports["x2y2"]], [ports["scores"]]
    else:
        flat = [port for port in model.outputs if len(port.shape) == 3]
        corners = [port for port in flat if port.shape[-1] == 2]
        scores = [port for port in flat if port.shape[-1] != 2]
    rows = {port.shape[:-1] for port in corners + scores}
    if len(corners) != 2 or len(scores) != 1 or len(rows) != 1:
        found = ", ".join(f"{port.name} {port.shape}" for port in model.outputs)
        raise SynetError(f"{model.name}: not a detector with outputs {OUTPUTS}; found {found}")
    return (corners[0], corners[1]), scores[0], named


def _names(names: dict[Any, Any] | Iterable[Any]) -> tuple[str, ...]:
    """Class names by id, from the list or the map (whose keys JSON made text) that a model has."""
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(name) for name in names)


def _in_order(
    image_shape: tuple[int, int] | None, own: tuple[int, int] | None
) -> tuple[int, int] | None:
    """`image_shape` as height and width: a size given as width and height is known by `own`."""
    if image_shape is None:
        return None
    height, width = image_shape
    return (width, height) if (width, height) == own else (height, width)
