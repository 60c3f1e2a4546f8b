"""One way to run a model, whether it is a torch checkpoint or a TFLite file, whatever its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synet.models.tflite_predictor import TflitePredictor
from synet.models.torch_predictor import TorchPredictor, find_device
from synet.system.errors import SynetError
from synet.system.steps import step
from synet.tflite.kernels import REFERENCE, SAMPLE, Kernels, open_model
from synet.tflite.metadata import warn_of

if TYPE_CHECKING:
    from synet.tflite.model import TfliteModel

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
    cfg: str | Path | None = None,
) -> Predictor:
    """Open a ``.pt`` checkpoint or a ``.tflite`` file.

    Parameters
    ----------
    model
        The file.
    image_shape
        Height and width to run at; without it, the model's own. A TFLite file has just one.
    repo
        The fork that a checkpoint was trained with; the installed package if not given.
    classifiers
        Whether a model will do that tells the class of an image, and finds nothing in it.
    threads, kernels, checked
        Of a TFLite file, as for `synet.tflite.kernels.open_model`.
    device
        That a torch network runs on, as for `synet.models.torch_predictor.find_device`. Default:
        the processor, on which a TFLite file runs in any case.
    batch
        So many images a torch network takes in one run, at most. A TFLite file takes one.
    cfg
        The yaml that a checkpoint was built from which is a state dict, as for `synet.get_model`.

    Raises
    ------
    SynetError
        The file is missing, of another kind, or its outputs are not those of a model that is
        asked for; the shape is the model's own, turned; no such device; `batch` is below 1.

    Examples
    --------
    >>> predictor = synet.load_predictor("best.tflite")
    >>> predictor.task, predictor.image_shape, predictor.names
    ('detect', (64, 96), ('circle', 'square', 'triangle'))
    """
    path = _checked(Path(model), batch)
    step(f"loading {model}")
    if path.suffix == ".pt":
        predictor: Predictor = _torch_predictor(path, image_shape, (repo, cfg), device, batch)
    else:
        file = open_model(path, threads, kernels, checked)
        predictor = _tflite_predictor(path, image_shape, file)
    if predictor.task == "classify" and not classifiers:
        raise SynetError(f"{model}: {CLASSIFIER}")
    return predictor


def _checked(path: Path, batch: int) -> Path:
    if batch < 1:
        raise SynetError(f"batch: {batch} is not at least 1")
    if path.suffix not in {".pt", ".tflite"}:
        raise SynetError(f"{path}: expected a .pt checkpoint or a .tflite file")
    if not path.is_file():
        raise SynetError(f"{path}: no such file")
    return path


def _torch_predictor(
    path: Path,
    image_shape: tuple[int, int] | None,
    made_by: tuple[str | Path | None, str | Path | None],
    device: str,
    batch: int,
) -> TorchPredictor:
    from synet.models import forks

    network = forks.load_model(path, *made_by)
    shape = _asked(path, image_shape, network.image_shape) or network.image_shape
    if shape is None:
        raise SynetError(f"{path}: does not say its image shape; give --image-shape H W")
    network = network.to(find_device(device)) if device else network
    return TorchPredictor(network, shape, str(path), batch)


def _tflite_predictor(
    path: Path, image_shape: tuple[int, int] | None, model: TfliteModel
) -> TflitePredictor:
    warn_of(model.name, model.metadata)
    own = model.image_shape
    asked = _asked(path, image_shape, own) or own
    if asked != own:
        raise SynetError(f"{path}: takes images of {_shown(own)}, not {_shown(asked)}")
    return TflitePredictor(model)


def _asked(
    path: Path, image_shape: tuple[int, int] | None, own: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The image shape that was asked for, unless it is the model's own, turned."""
    if not image_shape:
        return None
    height, width = image_shape
    if own and (height, width) == own[::-1] != own:
        raise SynetError(
            f"{path}: the image shape {height} {width} is its own turned; height comes first: "
            f"--image-shape {own[0]} {own[1]}"
        )
    return height, width


def _shown(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]} (height x width)"


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
        find_device(device)
