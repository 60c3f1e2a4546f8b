"""What firmware gives a file and takes from it: tensors, how they are stored, and their meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synet.detections.tflite_outputs import TfliteNetwork
from synet.tflite.model import Port, TfliteModel

LEVELS = 255  # a pixel of 0 to 255 stands for 0 to 1
MEANINGS = {  # by what an output is for
    "x1y1": "left and top of each box, in pixels of the input",
    "x2y2": "right and bottom of each box, in pixels of the input",
    "scores": "score of each class, 0 to 1",
    "keypoints": "x and y of each keypoint, in pixels of the input",
    "presence": "presence of each keypoint, 0 to 1",
    "coefficients": "what each prototype weighs in each mask",
    "prototypes": "pictures of which all masks are sums",
    "sides": "left, top, right and bottom of each box from the centre of its cell, along its axes",
    "angle": "angle of each box, in radians, clockwise",
    "probabilities": "probability of each class, 0 to 1",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a file, and what it means.

    Attributes
    ----------
    low, high
        The least and the greatest value that it can hold; None of one that is not quantized.
    """

    port: Port
    meaning: str

    @property
    def low(self) -> float | None:  # noqa: D102
        return self._value(np.iinfo(self.port.dtype).min) if self.port.scale else None

    @property
    def high(self) -> float | None:  # noqa: D102
        return self._value(np.iinfo(self.port.dtype).max) if self.port.scale else None

    def _value(self, stored: int) -> float:
        return (stored - self.port.zero_point) * self.port.scale


@dataclass(frozen=True)
class Interface:
    """The tensors of a file, and how a pixel of 0 to 255 becomes a number of its input."""

    input: Tensor
    outputs: tuple[Tensor, ...]
    feed: str


def interface(model: TfliteModel) -> Interface:
    """What firmware gives a detector's file and takes from it.

    Raises
    ------
    SynetError
        Its outputs are none that SyNet knows.
    """
    roles = {port.index: role for role, port in TfliteNetwork(model).ports.items()}
    colour = "gray" if model.channels == 1 else "RGB"
    return Interface(
        Tensor(model.input, f"the image, {colour}, letterboxed; 0 to 1"),
        tuple(Tensor(port, MEANINGS[roles[port.index]]) for port in model.outputs),
        _feed(model.input),
    )


def _feed(port: Port) -> str:
    """How a pixel is stored, as short as it is true."""
    pixels = np.arange(LEVELS + 1)
    stored = port.quantize(pixels.astype(np.float32) / LEVELS)
    if not port.scale:
        return f"pixel / {LEVELS}"
    shift = port.zero_point
    sign = f" {'−' if shift < 0 else '+'} {abs(shift)}" if shift else ""
    if np.array_equal(stored, pixels + shift):
        return f"pixel{sign}"
    return f"round(pixel / {LEVELS} / {port.scale:.9g}){sign}, within {port.dtype}"
