"""A float file and its int8 form, run side by side: every layer's error, its own and accumulated.

The accumulated error of a layer is how far its output in the running int8 file is from the float
one. Its own error is what it adds to that: the operation alone, in int8 and in float, both given
what the float file feeds it, rounded to the int8 scale of that tensor. So a tensor whose scale is
bad counts where it is written, and not once more in each layer that reads it.

A channel of thousands makes a scale in which others, of ones, are lost, and is so loud that
nothing is missed. The next convolution misses them. So a tensor is judged as it is read, too: by
what float convolutions make of it once it is rounded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synet.data.calibration import Calibration
from synet.export.ranges import SATURATED
from synet.layerwise.dump import Dump
from synet.layerwise.errors import AUDIBLE, Comparison, LayerError, Sums
from synet.layerwise.isolated import Isolated
from synet.layerwise.origins import check_weights, find_origins
from synet.system.errors import SynetError
from synet.system.files import atomic_folder
from synet.system.steps import counted
from synet.tflite.graph import read_graph
from synet.tflite.kernels import FAST
from synet.tflite.model import TensorRunner, TfliteModel

LOGGER = logging.getLogger("synet")


def compare_files(
    reference: bytes,
    int8: bytes,
    images: Sequence[Path],
    dump: str | Path | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare every layer of an int8 TFLite file with the float file that it was made from.

    Parameters
    ----------
    reference, int8
        The two files. The int8 one runs on TFLite's reference kernels, if they run it.
    images
        Image files, fitted to the model as in validation.
    dump
        A new folder for every layer's output of both, see `synet.layerwise.dump`.
    progress
        Whether to show a progress bar on stderr.

    Raises
    ------
    NotTwins
        The int8 file was made from another float file.
    SynetError
        A file cannot be run, or `dump` not written; a `DataError` where an image cannot be read.
    """
    model, pair = TfliteModel(int8, kernels=FAST), _Pair(reference, int8)
    tallies = {
        tensor: _Tally(pair.limits(tensor), pair.int8.ports[tensor].scale)
        for tensor, *_ in pair.graph.written()
    }
    with atomic_folder(dump) if dump else nullcontext() as folder:
        files = Dump(folder, pair.graph, images) if folder else None
        for image in _fitted(model, images, progress):
            for number, (tensor, seen) in enumerate(pair.run(image)):
                tallies[tensor].add(seen)
                if files:
                    files.add(number, "int8", seen.stored)
                    files.add(number, "float", seen.exact)
        outputs = {port.name: tallies[port.index].accumulated.closeness() for port in model.outputs}
        errors = tuple(_errors(pair, tallies))
        found = Comparison(errors, tuple(images), outputs, pair.int8.reference_kernels)
        if files:
            files.finish(found.records())
    return found


def dump_layers(
    int8: bytes, images: Sequence[Path], dump: str | Path, progress: bool = True
) -> None:
    """Write every layer's output of an int8 file alone, where the float model is not at hand.

    Parameters
    ----------
    int8, images, dump, progress
        As for `compare_files`.
    """
    model = TfliteModel(int8, kernels=FAST)
    graph, runner = read_graph(int8), _int8_runner(int8)
    with atomic_folder(dump) as folder:
        files = Dump(folder, graph, images)
        for image in _fitted(model, images, progress):
            runner.run({model.input.index: model.input.quantize(image[None])})
            for number, written in enumerate(graph.written()):
                files.add(number, "int8", runner.values(written.tensor))
        files.finish()


def _int8_runner(content: bytes) -> TensorRunner:
    try:
        return TensorRunner(content, reference_kernels=True)
    except SynetError as error:
        LOGGER.warning("%s: the fast kernels run, which may be off by a step", error)
        return TensorRunner(content)


def _fitted(model: TfliteModel, images: Sequence[Path], progress: bool) -> Iterable[np.ndarray]:
    """The images as the model takes them in validation, float32 (H, W, C), 0-1."""
    whole = [len(port.shape) for port in model.outputs] == [2]  # a classifier's
    fitted = Calibration(tuple(images), model.image_shape, model.channels, "", 0, whole).images()
    return counted(fitted, "comparing", len(images), progress)


class _Seen(NamedTuple):
    """A tensor of the int8 file, for one image."""

    stored: np.ndarray  # in the running int8 file
    found: np.ndarray  # the same, float32
    exact: np.ndarray  # in the running float file
    own_found: np.ndarray  # of the operation alone
    own_exact: np.ndarray


class _Tally:
    """The errors of a tensor, as they come together over the images."""

    def __init__(self, limits: tuple[float, float], step: float) -> None:
        self.own, self.read, self.accumulated = Sums(limits), Sums(limits), Sums(limits)
        self._step, self._values, self._audible = step, 0, 0

    def add(self, seen: _Seen) -> None:
        self._values += seen.exact.size
        loud = np.abs(seen.exact) >= AUDIBLE * self._step
        self._audible += int(np.count_nonzero(loud))
        self.own.add(seen.own_exact, seen.own_found)
        self.read.add(seen.exact, seen.own_exact)
        self.accumulated.add(seen.exact, seen.found)

    @property
    def audible(self) -> float:
        """Share of the float values that stand out of the rounding."""
        return self._audible / max(self._values, 1)


def _errors(pair: _Pair, tallies: dict[int, _Tally]) -> Iterator[LayerError]:
    for tensor, layer, op in pair.graph.written():
        port, tally = pair.int8.ports[tensor], tallies[tensor]
        reads = [tallies[to].read.closeness() for to in pair.readers(tensor)]
        yield LayerError(
            layer,
            op,
            port.shape,
            tally.own.closeness(),
            tally.accumulated.closeness(),
            min(reads, key=lambda read: read.sqnr_db, default=None),
            step=port.scale,
            audible=tally.audible,
        )


class _Pair:
    """Both files, each of them whole, and cut into its operations."""

    def __init__(self, reference: bytes, int8: bytes) -> None:
        self._float_graph, self.graph = read_graph(reference), read_graph(int8)
        self._origins = find_origins(self._float_graph, self.graph)
        self._floats = TensorRunner(reference)
        self.int8 = _int8_runner(int8)
        check_weights(self._origins, self._float_graph, self.graph, self._floats, self.int8)

        reads = [self.graph.activations(operator.inputs) for operator in self.graph.operators]
        self._own_int8 = Isolated(int8, dict(enumerate(reads)), self.int8.reference_kernels)
        origins = zip(self._origins.operators, reads, strict=True)
        self._own_floats = Isolated(
            reference, {origin: tensors for origin, tensors in origins if origin is not None}
        )

    def limits(self, tensor: int) -> tuple[float, float]:
        """Beyond which values of a tensor are all the same to those that read it."""
        readers = {op.name for op in self.graph.operators if tensor in op.inputs}
        only = readers.pop() if len(readers) == 1 else ""
        return SATURATED.get(only, (-math.inf, math.inf))

    def readers(self, tensor: int) -> list[int]:
        """What is written by operations with weights that read `tensor`."""
        operators = self.graph.operators
        return [op.outputs[0] for op in operators if op.weights is not None and tensor in op.inputs]

    def run(self, image: np.ndarray) -> Iterator[tuple[int, _Seen]]:
        """Every tensor, by number, for an image (H, W, C), 0-1, in the order of `Graph.written`."""
        ports, origins = self.int8.ports, self._origins.tensors
        self._floats.run({self._floats.inputs[0]: image[None]})
        exact = {tensor: self._floats.values(origin) for tensor, origin in origins.items()}
        given = {tensor: ports[tensor].quantize(values) for tensor, values in exact.items()}
        rounded = {
            tensor: ports[tensor].dequantize(values).astype(exact[tensor].dtype)
            for tensor, values in given.items()
        }
        (at,) = self.int8.inputs
        self.int8.run({at: given[at]})
        self._own_int8.run(given)
        self._own_floats.run(rounded)

        def seen(tensor: int, own_exact: np.ndarray, own_stored: np.ndarray) -> tuple[int, _Seen]:
            stored, real = self.int8.values(tensor), ports[tensor].dequantize
            return tensor, _Seen(stored, real(stored), exact[tensor], real(own_stored), own_exact)

        yield seen(at, exact[at], given[at])
        for operator, origin in zip(self.graph.operators, self._origins.operators, strict=True):
            for place, tensor in enumerate(operator.outputs):
                if origin is None:  # that changes the scale, and should change nothing else
                    own_exact = rounded[operator.inputs[0]]
                else:
                    wanted = self._float_graph.operators[origin].outputs[place]
                    own_exact = self._own_floats.values(wanted)
                yield seen(tensor, own_exact, self._own_int8.values(tensor))
