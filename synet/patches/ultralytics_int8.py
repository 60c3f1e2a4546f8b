"""Int8 files in ultralytics' own validators and predictors.

Every model that ultralytics runs passes through its class ``AutoBackend``. For a ``.tflite``
whose outputs SyNet knows, ours or a vendor's, it answers with rows as ultralytics' own models
give them, and shows the file's shape, task and names; any other model goes its own way.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synet.data.images import to_channels
from synet.detections.detections import Detections
from synet.detections.score_shift import confidence_shift, float_twin
from synet.detections.tflite_outputs import TfliteNetwork, UnknownOutputs, class_names
from synet.patches.declaration import Fork
from synet.rotated import enclosing_boxes
from synet.system.errors import DataError, SynetError
from synet.system.yaml_files import read_yaml
from synet.tflite.kernels import FAST, SAMPLE, open_model
from synet.tflite.metadata import refuse_swollen, warn_of

LOGGER = logging.getLogger("synet")
# Questions by which older versions tell what kind of file they run.
KINDS = ("pt", "jit", "onnx", "engine", "saved_model", "pb", "triton", "nn_module", "dynamic")


class Int8Rows:
    """An int8 file that answers images as ultralytics' models do.

    Parameters
    ----------
    network
        The file.
    """

    def __init__(self, network: TfliteNetwork) -> None:
        self.network = network

    def __call__(self, images: Tensor) -> Tensor | list[Tensor]:
        """What the file finds, image by image.

        Parameters
        ----------
        images
            (N, C, H, W), RGB or grey, 0-1.

        Returns
        -------
        (N, 4 + classes + more, R): centre, width and height in pixels, scores, and what the task
        has more; for segment with the prototypes (N, M, h, w); for classify (N, classes).
        """
        found = [self.network(self._pixels(image)) for image in images.cpu().numpy()]
        parts = [as_rows(each, self.network) for each in found]
        joined = [torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)]
        return joined if len(joined) > 1 else joined[0]

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        given, own = image.shape[1:], self.network.image_shape
        if given != own:
            raise SynetError(
                f"{self.network.name}: takes images of {own[0]}x{own[1]} (height x width), given "
                f"{given[0]}x{given[1]}; say imgsz={own[0]},{own[1]}"
            )
        pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
        if pixels.shape[2] == self.network.channels:
            return pixels
        if pixels.shape[2] == 1:
            pixels = pixels.repeat(3, axis=2)
        return np.ascontiguousarray(to_channels(pixels, self.network.channels))


def as_rows(found: dict[str, np.ndarray], network: TfliteNetwork) -> tuple[np.ndarray, ...]:
    """One image's outputs as the arrays that ultralytics expects of the task, float32."""
    if network.task == "classify":
        return (found["probabilities"],)
    if network.task == "obb":
        boxes, angle = found["rotated"][:, :4], found["rotated"][:, 4:]
        return (np.concatenate([boxes, found["scores"], angle], axis=1).T,)
    low, high = found["x1y1"], found["x2y2"]
    columns = [(low + high) / 2, high - low, found["scores"]]
    if network.task == "pose":
        points = found["keypoints"]
        if "presence" in found:
            points = np.concatenate([points, found["presence"][..., None]], axis=2)
        columns.append(points.reshape(len(points), -1))
    if network.task == "segment":
        columns.append(found["coefficients"])
        prototypes = found["prototypes"].transpose(2, 0, 1)
        return np.concatenate(columns, axis=1).T, np.ascontiguousarray(prototypes)
    return (np.concatenate(columns, axis=1).T,)


def open_network(path: Any, checked: int = 0) -> TfliteNetwork | None:
    """The int8 file at `path`, or None where it is no file that SyNet can tell the outputs of.

    Parameters
    ----------
    checked
        So many images run on the reference kernels as well, see `synet.tflite.kernels`.
    """
    if not isinstance(path, (str, Path)) or not str(path).endswith(".tflite"):
        return None
    if not Path(path).is_file() or str(path).endswith("_edgetpu.tflite"):  # compiled for that
        return None
    try:
        return TfliteNetwork(open_model(path, kernels=FAST, checked=checked))
    except UnknownOutputs:
        return None


def wrap_load(_: Fork | None) -> Callable:
    """Tell ``YOLO("best.tflite")`` the task and the shape of the file, whatever it is called."""

    def load(wrapped: Callable, model: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        network = open_network(bound.arguments.get("weights"))
        if network is None:
            return wrapped(*args, **kwargs)
        bound.arguments["task"] = network.task
        loaded = wrapped(*bound.args, **bound.kwargs)
        model.overrides["imgsz"] = list(network.image_shape)
        return loaded

    return load


def wrap_read_metadata(_: Fork | None) -> Callable[..., Any]:
    """See what is packed behind a file before ultralytics unpacks it."""

    def read_metadata(
        wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        refuse_swollen(args[0] if args else kwargs["file"])
        return wrapped(*args, **kwargs)

    return read_metadata


def wrap_init(fork: Fork | None) -> Callable:
    """Make an ``AutoBackend`` of a file that SyNet knows."""

    def __init__(wrapped: Callable, backend: nn.Module, args: tuple, kwargs: dict) -> None:  # noqa: N807
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        path = next(iter(bound.arguments.values()), None)  # called weights, and later model
        network = open_network(path, SAMPLE)
        if network is None:
            refuse_swollen(path)  # where older versions read it themselves
            wrapped(*args, **kwargs)
            return
        warn_of(network.name, network.metadata)
        nn.Module.__init__(backend)
        facts = dict.fromkeys((*KINDS, "fp16", "nhwc", "end2end", "base_model", "xyxy"), False)
        facts |= {
            "int8": Int8Rows(network),
            "backend": None,
            "model": None,
            "format": "litert",
            "device": torch.device("cpu"),
            "task": network.task,
            "imgsz": list(network.image_shape),
            "stride": 1,  # the shape is the file's, and no multiple of anything
            "channels": 3,  # as ultralytics reads images; a grey file takes their luma
            "batch": 1,
            "names": _names(network, bound.arguments.get("data"), fork),
            "metadata": {"batch": 1, "dynamic": False},
        }
        if network.kpt_shape:
            facts["kpt_shape"] = list(network.kpt_shape)
        for name, value in facts.items():
            setattr(backend, name, value)

    return __init__


def wrap_forward(_: Fork | None) -> Callable:
    """Run the file."""

    def forward(wrapped: Callable, backend: nn.Module, args: tuple, kwargs: dict) -> Any:
        rows = _int8(backend)
        return wrapped(*args, **kwargs) if rows is None else rows(args[0] if args else kwargs["im"])

    return forward


def wrap_init_metrics(fork: Fork | None) -> Callable:
    """Compare an int8 file, while it is validated, with the checkpoint that lies beside it.

    And say what it ran on.
    """

    def init_metrics(wrapped: Callable, validator: Any, args: tuple, kwargs: dict) -> None:
        wrapped(*args, **kwargs)
        model = args[0] if args else kwargs["model"]
        rows = _int8(model)
        if rows is None or "print_results" in vars(validator):  # a validator calls its parent's
            return
        logger = fork.names.get("LOGGER", LOGGER) if fork else LOGGER
        _check_keypoints(rows.network, validator)
        dataset = validator.dataloader.dataset
        if hasattr(dataset, "update_labels"):  # what it cannot find is left out of the account
            dataset.update_labels(list(range(rows.network.classes)))
        path = float_twin(rows.network.name)
        twin = _load_twin(model, path) if path else None
        if twin is not None:
            _compare(validator, twin, path, logger)
        _tell_kernels(validator, rows.network, logger)

    return init_metrics


def _int8(model: Any) -> Int8Rows | None:
    return vars(model).get("int8")


def _names(network: TfliteNetwork, data: Any, fork: Fork | None) -> dict[int, str]:
    """The file's class names; without any those of the data set, whose numbers it then has."""
    theirs = _names_of(data, fork)[: network.classes]
    shown = ", ".join(theirs[:5]) + (", ..." if len(theirs) > 5 else "")
    if network.names:
        goes_by_number = network.task != "classify"
        if theirs and theirs != network.names[: len(theirs)] and goes_by_number:
            LOGGER.warning(
                "%s finds %s, and the first classes of %s are %s: ultralytics goes by number, "
                "`synet evaluate` by name",
                *(network.name, ", ".join(network.names[:5]), data, shown),
            )
        return dict(enumerate(network.names))
    if len(theirs) < network.classes:
        return {i: f"class{i}" for i in range(network.classes)}
    LOGGER.warning(
        "%s does not name its classes: taken for the first of %s, %s", network.name, data, shown
    )
    return dict(enumerate(theirs))


def _names_of(data: Any, fork: Fork | None) -> tuple[str, ...]:
    if not data:
        return ()
    path = Path(str(data))
    if path.is_dir():  # a folder a class
        split = path / "train" if (path / "train").is_dir() else path
        return tuple(sorted(folder.name for folder in split.iterdir() if folder.is_dir()))
    find = fork.names.get("check_yaml") if fork else None  # knows those that came with the fork
    try:
        path = Path(str(find(path, hard=False) if find else path))
        return class_names(read_yaml(path)["names"])
    except (OSError, ValueError, TypeError, KeyError, SynetError):
        return ()  # what is wrong with it is told by who reads it for good


def _check_keypoints(network: TfliteNetwork, validator: Any) -> None:
    wanted = (validator.data or {}).get("kpt_shape")
    if network.task == "pose" and wanted and tuple(wanted) != tuple(network.kpt_shape):
        raise DataError(
            f"{validator.args.data}: kpt_shape is {list(wanted)}, and {network.name} tells "
            f"{list(network.kpt_shape)}; give the data set that it was trained on"
        )


def _load_twin(model: nn.Module, path: Path) -> Callable[[Tensor], Any] | None:
    AutoBackend = type(model)  # noqa: N806
    known = inspect.signature(AutoBackend).parameters
    options = {"verbose": False, "end2end": False}  # the branch that is exported
    try:
        twin = AutoBackend(str(path), **{k: v for k, v in options.items() if k in known})
    except Exception as error:  # nobody asked for it: it just lies there
        LOGGER.warning("no confidence shift: %s", str(error).partition("\n")[0])
        return None
    return twin.eval()


def _compare(validator: Any, twin: Callable[[Tensor], Any], path: Path, logger: Any) -> None:
    """Have a validator of an int8 file run its twin, too, and say how far the scores shifted."""
    update, report, compared = validator.update_metrics, validator.print_results, []

    def update_metrics(found: Any, batch: dict[str, Any]) -> None:
        reference = validator.postprocess(twin(batch["img"]))
        side = max(batch["img"].shape[2:])
        both = (_detections(found, side), _detections(reference, side))
        compared.extend(zip(*both, strict=True))
        update(found, batch)

    def print_results() -> None:
        report()
        shift = replace(confidence_shift(compared), twin=str(path))
        validator.metrics.confidence_shift = shift
        logger.info(str(shift))

    validator.update_metrics, validator.print_results = update_metrics, print_results


def _tell_kernels(validator: Any, network: TfliteNetwork, logger: Any) -> None:
    report = validator.print_results

    def print_results() -> None:
        report()
        logger.info(f"{network.name}: {network.kernels}")

    validator.print_results = print_results


def _detections(found: Any, side: int) -> list[Detections]:
    """What a validator has made of a batch, image by image; boxes end at the image, as exported."""
    if isinstance(found, Tensor):  # probabilities: every class is found on the whole image
        count = found.shape[1]
        box = np.tile([0.0, 0.0, 1.0, 1.0], (count, 1))
        return [Detections(box, each.cpu().numpy(), np.arange(count)) for each in found]
    boxes = [each["bboxes"].cpu().numpy() for each in found]
    boxes = [enclosing_boxes(b) if b.shape[1] == 5 else b.clip(0, side) for b in boxes]
    return [
        Detections(box, each["conf"].cpu(), each["cls"].cpu())
        for box, each in zip(boxes, found, strict=True)
    ]
