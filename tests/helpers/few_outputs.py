"""A TFLite model's face, with outputs as given, for kinds that no converter would make small."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class FewOutputs:
    """Answers every 8x8 image with the same values."""

    name, image_shape, channels = "odd.tflite", (8, 8), 3

    def __init__(self, outputs: dict[str, np.ndarray], metadata: dict | None = None) -> None:
        self.values = outputs
        self.outputs = [SimpleNamespace(name=k, shape=v.shape) for k, v in outputs.items()]
        self.metadata = metadata or {}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The values, for an image that the model takes."""
        assert image.shape == (8, 8, 3) and image.dtype == np.uint8
        return self.values
