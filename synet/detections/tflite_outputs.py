"""What each output of a TFLite file is for, and with that what the file's task is.

A file that SyNet made names its outputs. A vendor's file tells nothing: its outputs are then
known by their shapes, and by what they hold for a grey image: pixels or fractions, and of two
corners the smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from synet.rotated import cell_centres, rotated_boxes
from synet.system.errors import SynetError
from synet.tflite.kernels import Kernels, kernels_of
from synet.tflite.model import Port, TfliteModel

CORNERS = ("x1y1", "x2y2")
BOXES = {*CORNERS, "scores"}
TASKS = {  # the first whose roles are all there
    "classify": {"probabilities"},
    "segment": BOXES | {"coefficients", "prototypes"},
    "obb": {"sides", "angle", "scores"},
    "pose": BOXES | {"keypoints"},
    "detect": BOXES,
}
ROLES = set().union(*TASKS.values(), {"presence"})
ROWS = ROLES - {"prototypes", "probabilities"}  # of one row a cell
FORM = "x1y1 (1, R, 2), x2y2 (1, R, 2) and scores (1, R, classes), or probabilities (1, classes)"
GREY, FRACTION = 114, 2  # a level of 0-255; no fraction reaches 2, and some corner does


class UnknownOutputs(SynetError):
    """A file whose outputs are none that SyNet knows."""


class TfliteNetwork:
    """A TFLite model that answers an image by roles.

    Parameters
    ----------
    model
        The file.

    Attributes
    ----------
    name : str
        What to call it in messages.
    task : str
        detect, pose, segment, classify or obb.
    image_shape, channels
        Of its input; height and width in pixels, 1 or 3.
    classes : int
        How many it tells apart.
    names : tuple of str or None
        By class id, where the file names them.
    kpt_shape : tuple of int or None
        Keypoints of an object, and 2 or 3 numbers each, where it tells keypoints.
    ports : dict
        The output of each role.
    metadata : dict
        What the file tells of itself.

    Raises
    ------
    UnknownOutputs
        The outputs cannot be told.
    SynetError
        The file names more or fewer classes than it tells apart, or lacks the strides that
        rotated boxes follow from.
    """

    def __init__(self, model: TfliteModel) -> None:
        self.name, self.metadata, self._model = model.name, model.metadata, model
        self.image_shape, self.channels = model.image_shape, model.channels
        self.ports = _by_name(model.outputs) or _by_content(model)
        self.task = _task(self.ports, model)
        if self.task == "obb":
            self._cells = _cells(model, self.ports["scores"].shape[1])
        ports = self.ports
        self.classes = ports["probabilities" if self.task == "classify" else "scores"].shape[-1]
        self.names = class_names(model.metadata["names"]) if model.metadata.get("names") else None
        if self.names and len(self.names) != self.classes:
            raise SynetError(
                f"{model.name}: scores {self.classes} classes, but its metadata names "
                f"{len(self.names)}"
            )
        self.kpt_shape = None
        if "keypoints" in ports:
            self.kpt_shape = _points(ports["keypoints"]), 3 if "presence" in ports else 2

    @property
    def kernels(self) -> Kernels:
        """What it has run on so far."""
        return kernels_of(self._model)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the model finds in an image, float32, by role, of R rows.

        - ``x1y1`` and ``x2y2`` (R, 2) in input pixels, ``scores`` (R, classes) 0-1
        - ``keypoints`` (R, K, 2) in input pixels, ``presence`` (R, K) 0-1
        - ``coefficients`` (R, M), ``prototypes`` (h, w, M)
        - ``rotated`` (R, 5): centre, width and height in input pixels, angle in radians
        - ``probabilities`` (classes,)

        Parameters
        ----------
        image
            uint8 (height, width, channels), as the file has them.
        """
        return self.by_role(self._model.run(image))

    def by_role(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The second half of a call: the model's outputs, by name, as what they are."""
        found = {role: values[port.name][0] for role, port in self.ports.items()}
        if "keypoints" in found:
            found["keypoints"] = found["keypoints"].reshape(len(found["scores"]), -1, 2)
        if "presence" in found:
            found["presence"] = found["presence"].reshape(len(found["scores"]), -1)
        if self.task == "obb":
            found["rotated"] = rotated_boxes(found.pop("sides"), found.pop("angle"), self._cells)
        return found


def class_names(names: Mapping[Any, Any] | Sequence[Any]) -> tuple[str, ...]:
    """Class names by id, from the list or the map (whose keys JSON made text) that a model has."""
    if isinstance(names, Mapping):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(name) for name in names)


def task_of(roles: Iterable[str]) -> str | None:
    """The task of a model with outputs of such `roles`; None where they make none."""
    return next((task for task, needed in TASKS.items() if needed <= {*roles}), None)


def _task(ports: Mapping[str, Port], model: TfliteModel) -> str:
    task = task_of(ports)
    rows = {port.shape[1] for role, port in ports.items() if role in ROWS}
    if task is None or len(rows) > 1:
        raise _unknown(model)
    return task


def _cells(model: TfliteModel, rows: int) -> np.ndarray:
    cells = cell_centres(model.image_shape, model.metadata.get("strides") or (1,))
    if len(cells) != rows:
        raise SynetError(
            f"{model.name}: tells {rows} rotated boxes, and the strides in its metadata make "
            f"{len(cells)} cells; make the file with `synet quantize`"
        )
    return cells


def _by_name(outputs: Sequence[Port]) -> dict[str, Port]:
    ports = {port.name: port for port in outputs if port.name in ROLES}
    return ports if task_of(ports) else {}


def _by_content(model: TfliteModel) -> dict[str, Port]:
    """Roles of outputs without useful names; a file with metadata has them from somebody else."""
    if model.metadata:
        raise _unknown(model)
    if [len(port.shape) for port in model.outputs] == [2]:
        return {"probabilities": model.outputs[0]}
    values = model.run(np.full((*model.image_shape, model.channels), GREY, np.uint8))
    rest = list(model.outputs)
    ports: dict[str, Port] = {}

    def take(role: str, fits: Any) -> None:
        """Give `role` to the one output that `fits`; where several do, nobody knows."""
        fitting = [port for port in rest if fits(port)]
        if len(fitting) > 1:
            raise _unknown(model)
        for port in fitting:
            ports[role] = port
            rest.remove(port)

    def in_pixels(port: Port) -> bool:
        return bool(np.abs(values[port.name]).max() > FRACTION)

    corners = [p for p in rest if len(p.shape) == 3 and p.shape[-1] == 2 and in_pixels(p)]
    if len(corners) != 2:
        raise _unknown(model)
    corners.sort(key=lambda port: float(values[port.name].mean()))
    ports |= zip(CORNERS, corners, strict=True)
    rest = [port for port in rest if port not in corners]
    rows = corners[0].shape[1]
    take("prototypes", lambda p: len(p.shape) == 4 and p.shape[1] != rows)
    if "prototypes" in ports:
        masks = ports["prototypes"].shape[-1]
        signed = [p for p in rest if p.shape[1:] == (rows, masks) and values[p.name].min() < 0]
        take("coefficients", lambda p: p in signed)
    take("keypoints", lambda p: p.shape[1] == rows and in_pixels(p))
    if "keypoints" in ports:
        shape = [rows, _points(ports["keypoints"])]
        shape += [1] * (len(ports["keypoints"].shape) - 3)  # (1, R, K, 1) beside (1, R, K, 2)
        take("presence", lambda p: [*p.shape[1:]] == shape)
    take("scores", lambda p: len(p.shape) == 3 and not in_pixels(p))
    if rest:
        raise _unknown(model)
    return ports


def _points(port: Port) -> int:
    """How many keypoints (1, R, K, 2), or (1, R, 2 K), are."""
    return math.prod(port.shape[2:]) // 2


def _unknown(model: TfliteModel) -> UnknownOutputs:
    found = ", ".join(f"{port.name} {port.shape}" for port in model.outputs)
    return UnknownOutputs(f"{model.name}: not a model with outputs {FORM}; found {found}")
