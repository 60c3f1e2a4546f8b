"""What a TFLite file makes of an image, as it stores it."""

from __future__ import annotations

import numpy as np

from synet.tflite.model import TfliteModel


def run_stored(model: TfliteModel, image: np.ndarray) -> dict[str, np.ndarray]:
    """As `TfliteModel.run`, not dequantized: bit for bit what the kernels wrote."""
    model.place(image)
    model.invoke()
    return model.stored_outputs()
