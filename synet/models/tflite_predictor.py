"""A TFLite model as a predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.detections.tflite_outputs import TfliteNetwork
from synet.tflite.kernels import REFERENCE, Kernels

if TYPE_CHECKING:
    from synet.tflite.model import TfliteModel


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
