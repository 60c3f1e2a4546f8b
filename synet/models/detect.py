"""An image of any size through a model, and what it found in the pixels of that image."""

from __future__ import annotations

import numpy as np

from synet.data.calibration import filled
from synet.data.images import Placement
from synet.data.yolo_yaml import letterbox, to_channels
from synet.detections.detections import Detections
from synet.models.decode import decode
from synet.models.predictor import Predictor


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
        As for `synet.models.decode.decode`.

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
    outputs, bounds = predictor.outputs(pixels), (confidence, iou)
    return decode(outputs, placement, *bounds, max_detections=max_detections, masks=masks)


def fit(predictor: Predictor, image: np.ndarray) -> tuple[np.ndarray, Placement | None]:
    """An RGB image ``(H, W, 3)`` of any size as a model's input, and where it lies in that.

    It is letterboxed; for a classifier it fills the input, as ultralytics validates, and lies
    nowhere.
    """
    if predictor.task == "classify":
        return to_channels(filled(image, predictor.image_shape), predictor.channels), None
    padded, placement = letterbox(image, predictor.image_shape)
    return to_channels(padded, predictor.channels), placement
