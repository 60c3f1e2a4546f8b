"""Every layer's output in files, for those who have to find out where a chip goes wrong.

::

    int8/017-model.4.cv1.conv.npy    the numbers that the int8 file stores, for a chip to match
    float/017-model.4.cv1.conv.npy   float32, what the float model has there
    layers.json                      for each number: layer, operation, tensor, shape, scale, ...
    errors.csv                       how far the one is from the other

The images follow each other along the first axis.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synet.tflite.graph import Graph

LONGEST = 100  # characters of a layer in the name of a file


class Dump:
    """A folder that the layers of an int8 file are written to, one image after the other.

    Parameters
    ----------
    folder
        Where to write: there, and empty.
    graph
        Of the int8 file; its layers are numbered as in `Graph.written`.
    images
        Those that are to come.
    """

    def __init__(self, folder: Path, graph: Graph, images: Sequence[Path]) -> None:
        self._folder, self._graph, self._images = folder, graph, images
        self._written = graph.written()
        digits = max(3, len(str(len(self._written) - 1)))
        self._names = [
            f"{number:0{digits}d}-{_file_name(written.layer)}.npy"
            for number, written in enumerate(self._written)
        ]

    def add(self, number: int, kind: str, values: np.ndarray) -> None:
        """Write what a layer has for the next image, as int8 or as float (`kind`)."""
        file = self._folder / kind / self._names[number]
        values = np.atleast_1d(values)
        first = not file.exists()
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as stream:
            if first:
                header = {
                    "descr": np.lib.format.dtype_to_descr(values.dtype),
                    "fortran_order": False,
                    "shape": (len(self._images) * values.shape[0], *values.shape[1:]),
                }
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(values.tobytes())

    def finish(self, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write what is known of the layers, and the records of their errors where there are."""
        told = {"images": [str(image) for image in self._images], "layers": list(self._facts())}
        text = json.dumps(told, indent=1, ensure_ascii=False)
        (self._folder / "layers.json").write_text(text, "utf-8")
        if errors:
            write_csv(self._folder / "errors.csv", errors)

    def _facts(self) -> Iterator[dict[str, Any]]:
        for number, (written, name) in enumerate(zip(self._written, self._names, strict=True)):
            tensor = self._graph.tensors[written.tensor]
            kinds = [kind for kind in ("int8", "float") if (self._folder / kind / name).exists()]
            yield {
                "number": number,
                "layer": written.layer,
                "op": written.op,
                "tensor": tensor.name,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "scale": next(iter(tensor.scale), None),
                "zero_point": next(iter(tensor.zero_point), None),
                **{kind: f"{kind}/{name}" for kind in kinds},
            }


def write_csv(file: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records that have the same keys, which become the first line."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, records[0].keys())
        writer.writeheader()
        writer.writerows(records)


def _file_name(layer: str) -> str:
    """A layer with nothing in it that a file system minds, and not too long."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", layer)[:LONGEST].strip("._-") or "layer"
