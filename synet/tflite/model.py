"""A TFLite file, and the runtime that executes it.

The runtime is C++ that believes what a file says, and may take the process along where that is
wrong. So a file runs once in a process of its own before it runs in ours, see `synet.tflite.trial`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synet.system.errors import SynetError
from synet.system.streams import quiet
from synet.tflite.flatbuffer import read_content
from synet.tflite.metadata import embed_metadata, metadata_of, read_metadata
from synet.tflite.trial import PLAIN, REFERENCE, Refused, open_interpreter, reason, try_out

__all__ = [
    "Port",
    "TensorRunner",
    "TfliteModel",
    "embed_metadata",
    "read_content",
    "read_metadata",
]


@dataclass(frozen=True)
class Port:
    """One input or output of a model: ``real = (stored - zero_point) * scale``.

    A tensor that is not quantized has scale 0 and keeps its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int
    index: int

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Real values as the tensor stores them, rounded and clipped to its range."""
        if not self.scale:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        levels = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.clip(levels, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as float32 real ones."""
        if not self.scale:
            return stored.astype(np.float32)
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class TfliteModel:
    """A TFLite model with one NHWC image as its input, ready to run.

    Parameters
    ----------
    source
        A path, or the file's content.
    threads
        Of the fast kernels; without it four, or as many as there are processors. The reference
        kernels use one each image, and as many threads of ours may run images at the same time.
    kernels
        `REFERENCE`: as TFLite defines each operation, which is what chips and their compilers are
        tested against, equal bit for bit to TFLite Micro. `FAST`: those that are made for this
        processor. They are 50 to 110 times as fast, and in int8 up to tens of steps off.

    Attributes
    ----------
    kernels : str
        That it runs on.
    threads : int
        As given, or as many as it took.
    image_shape : tuple of int
        Height and width of the input, in pixels.
    channels : int
        Channels of the input: 1 is grayscale.
    input : Port
        The image.
    outputs : tuple of Port
        By the names of the model's signature, which are the names that its
        author gave; a model without a signature shows its tensors' names.
    metadata : dict
        See :func:`read_metadata`.

    Raises
    ------
    SynetError
        Not a TFLite file, an operation the runtime lacks, or an input that is
        not a single image.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        threads: int | None = None,
        kernels: str = REFERENCE,
    ):
        self.name, self._content = read_content(source)
        self.metadata = metadata_of(self.name, self._content)
        self.threads, self.kernels = threads or min(4, os.cpu_count() or 1), kernels
        self._of_thread = threading.local()
        inputs = [_port(detail) for detail in self._interpreter.get_input_details()]
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1:
            found = ", ".join(str(port.shape) for port in inputs)
            raise SynetError(
                f"{self.name} takes {found or 'no input'}; only models of one image, "
                "(1, height, width, channels), can be run"
            )
        ends = [*inputs, *map(_port, self._interpreter.get_output_details())]
        for port in ends:
            if port.dtype.kind not in "iuf" or 0 in port.shape:
                raise SynetError(
                    f"{self.name}: {port.name} is {port.dtype} of {port.shape}; only numbers of a "
                    "fixed shape can be given and read"
                )
        self.input = inputs[0]
        self.outputs = self._named_outputs()
        _, height, width, self.channels = self.input.shape
        self.image_shape = (height, width)
        self._levels = self.input.quantize(np.arange(256, dtype=np.float32) / 255)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The model's outputs for one image, dequantized to float32, by name.

        Parameters
        ----------
        image
            (height, width, channels), or with a leading 1: uint8 of 0 to 255,
            or real values as the model was trained on (0 to 1), or int8 already
            quantized for the input.
        """
        self.place(image)
        self.invoke()
        return self.read()

    def place(self, image: np.ndarray) -> None:
        """The first step of :meth:`run`: the image becomes the model's input."""
        shape = self.input.shape
        if image.shape not in (shape, shape[1:]):
            raise SynetError(f"{self.name} takes an image of {shape[1:]}, given {image.shape}")
        self._interpreter.set_tensor(self.input.index, self._stored(image).reshape(shape))

    def invoke(self) -> None:
        """The second step of :meth:`run`, the network alone, on the image that was placed."""
        self._interpreter.invoke()

    def read(self) -> dict[str, np.ndarray]:
        """The third step of :meth:`run`: the outputs, dequantized."""
        stored = self.stored_outputs()
        return {port.name: port.dequantize(stored[port.name]) for port in self.outputs}

    def stored_outputs(self) -> dict[str, np.ndarray]:
        """As :meth:`read`, as the file stores them: int8, as a rule."""
        return {port.name: self._interpreter.get_tensor(port.index) for port in self.outputs}

    @property
    def _interpreter(self) -> Any:
        """That of this thread: an interpreter runs one image at a time."""
        mine = self._of_thread
        if not hasattr(mine, "interpreter"):
            mine.interpreter = _interpreter(self.name, self._content, self.kernels, self.threads)
        return mine.interpreter

    def _stored(self, image: np.ndarray) -> np.ndarray:
        if image.dtype == np.uint8:
            return self._levels[image]
        if image.dtype == self.input.dtype:
            return image
        if np.issubdtype(image.dtype, np.floating):
            return self.input.quantize(image)
        raise SynetError(
            f"{self.name} takes images of uint8, float or {self.input.dtype}, given {image.dtype}"
        )

    def _named_outputs(self) -> tuple[Port, ...]:
        details = {detail["index"]: detail for detail in self._interpreter.get_output_details()}
        signatures = self._interpreter.get_signature_list()
        if signatures:
            runner = self._interpreter.get_signature_runner(next(iter(signatures)))
            names = {d["index"]: name for name, d in runner.get_output_details().items()}
            if names.keys() == details.keys():
                return tuple(_port(details[index], name) for index, name in names.items())
        return tuple(_port(detail) for detail in details.values())


class TensorRunner:
    """A TFLite model that shows every tensor after it has run, and takes any inputs.

    Each tensor keeps a place of its own, where the runtime would let an addition write over what it
    adds to, and no delegate keeps any to itself: it is slower than `TfliteModel`, and larger.

    Parameters
    ----------
    content
        The file's content.
    reference_kernels
        Compute as TFLite's definition of each operation does, in plain loops, which compilers are
        tested against. In int8 the fast kernels are off by a step now and then.

    Attributes
    ----------
    inputs : tuple of int
        The numbers of the input tensors, in the model's order.
    ports : dict
        A `Port` for each tensor that has one scale or none, by its number.

    Raises
    ------
    SynetError
        An operation that the runtime lacks, or has no reference kernel of.
    """

    def __init__(self, content: bytes, reference_kernels: bool = False):
        kernels = REFERENCE if reference_kernels else PLAIN
        self._interpreter = _interpreter(*read_content(content), kernels, os.cpu_count())
        self.reference_kernels = reference_kernels
        self.inputs = tuple(d["index"] for d in self._interpreter.get_input_details())
        details = self._interpreter.get_tensor_details()
        self.ports = {detail["index"]: _port(detail) for detail in details}

    def run(self, inputs: Mapping[int, np.ndarray]) -> None:
        """Run on values for each input, by number of the tensor, as the model stores them."""
        for number, values in inputs.items():
            self._interpreter.set_tensor(number, values)
        self._interpreter.invoke()

    def values(self, tensor: int) -> np.ndarray:
        """What a tensor holds after the last run, as the model stores it; or a constant."""
        return self._interpreter.get_tensor(tensor)


def _interpreter(name: str, content: bytes, kernels: str, threads: int | None) -> Any:
    """LiteRT's interpreter, ready to run."""
    try_out(name, content, kernels, threads)
    try:
        with quiet():  # it announces its CPU delegate
            return open_interpreter(content, kernels, threads)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise Refused(name, reason(error)) from None


def _port(detail: dict[str, Any], name: str | None = None) -> Port:
    scale, zero_point = detail["quantization"]
    if np.dtype(detail["dtype"]).kind == "f":
        scale, zero_point = 0, 0
    return Port(
        name=name or detail["name"],
        shape=tuple(int(size) for size in detail["shape"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
        index=int(detail["index"]),
    )
