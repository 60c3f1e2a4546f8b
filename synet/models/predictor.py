"""One way to run a model, whether it is a torch checkpoint or a TFLite file, whatever its task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synet.data.calibration import filled
from synet.data.images import Placement
from synet.data.yolo_yaml import letterbox, to_channels
from synet.detections.detections import Detections, best_rows
from synet.detections.masks import draw_masks
from synet.detections.tflite_outputs import TfliteNetwork, class_names
from synet.export.convert import image_channels
from synet.rotated import cell_centres, enclosing_boxes, rotated_boxes
from synet.system.errors import SynetError
from synet.system.steps import step
from synet.tflite.kernels import REFERENCE, SAMPLE, Kernels, open_model
from synet.tflite.metadata import warn_of

if TYPE_CHECKING:
    import torch

    from synet.tflite.model import TfliteModel

FULL = re.compile("out ?of ?memory|allocate memory|memoryerror", re.IGNORECASE)
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
    threads
        That a TFLite file runs on, see `synet.tflite.model.TfliteModel`; of all torch networks,
        torch itself has the number.
    kernels
        That a TFLite file runs on: the ``reference`` ones, which chips are tested against, or the
        ``fast`` ones; see `synet.tflite.kernels`.
    checked
        On the fast ones: so many images run on the reference kernels as well, and the difference
        is told.
    device
        That a torch network runs on, in the words of torch or of YOLO: ``cpu``, ``0``, ``cuda:1``,
        ``mps``. Default: the processor. A TFLite file runs on that in any case.
    batch
        So many images a torch network takes in one run, at most. A TFLite file takes one.

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
        network = open_model(path, threads, kernels, checked)
        warn_of(network.name, network.metadata)
        own = network.image_shape
        if _asked(path, image_shape, own) not in {None, own}:
            raise SynetError(f"{path}: takes images of {_by(own)}, not {_by(image_shape)}")
        predictor = TflitePredictor(network)
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
        _place(device)


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
    return TorchPredictor(_moved(network, device), shape, str(path), batch)


def _moved(network: torch.nn.Module, device: str) -> torch.nn.Module:
    return network.to(_place(device)) if device else network


def _place(name: str) -> torch.device:
    """A device, which is named as torch or as YOLO names it."""
    import torch

    try:
        device = torch.device(f"cuda:{name}" if name.isdigit() else name)
        torch.zeros(1, device=device).tolist()  # "meta" is one, and holds nothing
        return device
    except (RuntimeError, AssertionError, ImportError) as error:  # each backend has its own
        why = str(error).strip().partition("\n")[0]
        raise SynetError(f"--device {name}: torch has none such here: {why}") from None


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


class TorchPredictor:
    """A YOLO network in evaluation mode, decoded by its own head; see `Predictor`.

    Parameters
    ----------
    network
        Maps float NCHW images in 0-1 to what its head makes of them; has ``names``, and may have
        the ``yaml`` it was built from.
    image_shape
        Height and width to run at.
    name
        What to call it in messages.
    batch
        So many images it takes in one run.

    Raises
    ------
    SynetError
        Its head is none that SyNet knows.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        image_shape: tuple[int, int],
        name: str = "the model",
        batch: int = 1,
    ) -> None:
        from synet.layers.heads import find_head

        self.image_shape, self.batch = tuple(image_shape), batch
        self.names = class_names(network.names)
        self.channels = image_channels(network)
        self.trained_by = getattr(network, "trained_by", "")
        self.single_class = getattr(network, "single_class", False)
        self._network = network.eval().float()
        with _named(name):
            head, form = self._head, self._form = find_head(network)
            classes = head.nc if hasattr(head, "nc") else head.linear.out_features
            if classes != len(self.names):
                raise SynetError(f"scores {classes} classes, but names {len(self.names)}")
        self.task = form.task
        self._strides = [float(stride) for stride in getattr(head, "stride", ())]
        self._name = name

    at_once = 1  # it takes all threads itself
    kernels = None

    @property
    def threads(self) -> int:  # noqa: D102
        import torch

        return torch.get_num_threads()

    def outputs(self, image: np.ndarray) -> dict[str, np.ndarray]:  # noqa: D102
        return self.outputs_of([image])[0]

    def outputs_of(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:  # noqa: D102
        try:
            told = self._by_role(self._run(self._input(images)))
        except (RuntimeError, MemoryError) as error:  # each device has its own
            if len(images) == 1 or not FULL.search(f"{type(error).__name__}: {error}"):
                raise
            raise SynetError(
                f"{self._name}: no memory for {len(images)} images of {_by(self.image_shape)} in "
                "one run; give a smaller --batch"
            ) from None
        if len(told) != len(images):
            raise SynetError(
                f"{self._name}: answers {len(told)} of {len(images)} images that it was given "
                "together; do without --batch"
            )
        return told

    @property
    def stages(self) -> tuple[Callable[[Any], Any], ...]:  # noqa: D102
        first, last = lambda image: self._input([image]), lambda raw: self._by_role(raw)[0]
        return first, self._run, last

    def _input(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        import torch

        weight = next(self._network.parameters())
        pixels = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))
        return pixels.to(weight.device, weight.dtype) / 255

    def _run(self, pixels: torch.Tensor) -> Any:
        import torch

        with torch.no_grad(), _named(self._name):
            raw = self._network(pixels)
        if pixels.device.type != "cpu":
            torch.accelerator.synchronize(pixels.device)  # or who times it would not time it
        return raw

    def _by_role(self, raw: Any) -> list[dict[str, np.ndarray]]:
        import torch

        with torch.no_grad(), _named(self._name):
            told = self._form.as_exported(self._head, raw, self.image_shape)
        arrays = {role: values.cpu().numpy() for role, values in told.items()}
        images = zip(*arrays.values(), strict=False)  # of what is there of each, see `outputs_of`
        return [self._of_one(dict(zip(arrays, each, strict=True))) for each in images]

    def _of_one(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "keypoints" in found:
            found["keypoints"] = found["keypoints"].reshape(len(found["scores"]), -1, 2)
        if self.task == "obb":
            cells = cell_centres(self.image_shape, self._strides)
            found["rotated"] = rotated_boxes(found.pop("sides"), found.pop("angle"), cells)
        return found


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of which model an error speaks."""
    try:
        yield
    except SynetError as error:
        raise type(error)(f"{name}: {error}") from error


class TflitePredictor:
    """A TFLite model, of whatever task; see `Predictor` and `synet.detections.tflite_outputs`.

    Attributes
    ----------
    model
        The file that it runs.

    Raises
    ------
    SynetError
        The outputs are none that SyNet knows.
    """

    def __init__(self, model: TfliteModel) -> None:
        self.model, self._network = model, TfliteNetwork(model)
        network = self._network
        self.image_shape, self.channels = network.image_shape, network.channels
        self.names = network.names or tuple(map(str, range(network.classes)))
        self.task = network.task
        self.trained_by = model.metadata.get("trained_by") or ""
        self.single_class = model.metadata.get("single_cls") or False

    batch = 1  # which is in the file

    @property
    def threads(self) -> int:  # noqa: D102
        return self.model.threads

    @property
    def at_once(self) -> int:  # noqa: D102
        return self.model.threads if self.model.kernels == REFERENCE else 1

    @property
    def kernels(self) -> Kernels:  # noqa: D102
        return self._network.kernels

    def outputs(self, image: np.ndarray) -> dict[str, np.ndarray]:  # noqa: D102
        return self._network(image)

    def outputs_of(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:  # noqa: D102
        return [self.outputs(image) for image in images]

    @property
    def stages(self) -> tuple[Callable[[Any], Any], ...]:  # noqa: D102
        model, network = self.model, self._network
        return model.place, lambda _: model.invoke(), lambda _: network.by_role(model.read())


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


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]} (height x width)"
