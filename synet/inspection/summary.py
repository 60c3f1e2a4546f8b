"""The layers of a model, whatever format it is in: what each puts out, holds and computes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from synet.inspection.claimed import built, claimed
from synet.inspection.readers.formats import Layer, ModelSource, format_of


@dataclass(frozen=True)
class Summary:
    """A model.

    Parameters
    ----------
    model
        As it was named.
    layout
        Of the shapes of images: NCHW or NHWC.
    layers
        In the order in which they run.
    file_bytes
        Of a file that holds weights, else None.
    """

    model: str
    layout: str
    layers: tuple[Layer, ...]
    file_bytes: int | None = None

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, as far as they can be told."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def unknown(self) -> int:
        """Layers whose multiply-accumulates cannot be told."""
        return sum(layer.macs is None for layer in self.layers)

    def totals(self) -> str:
        """One line."""
        least = f" and those of {self.unknown} more" if self.unknown else ""
        size = f", file of {self.file_bytes:,} bytes" if self.file_bytes is not None else ""
        return (
            f"{len(self.layers)} layers, {self.parameters:,} parameters, "
            f"{self.macs / 1e6:.2f} MMAC{least}{size}"
        )


def summarize(
    model: str | Path,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    chip: str | None = None,
    cfg: str | Path | None = None,
) -> Summary:
    """The layers of a model.

    Parameters
    ----------
    model
        A .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.
    image_shape
        Height and width in pixels; the model's own unless given.
    repo
        The folder of the fork that made the checkpoint, or shall build the yaml.
    chip
        Of a yaml that names none.
    cfg
        As for `synet.get_model`.

    Raises
    ------
    SynetError
        The model cannot be read, or nobody says its image shape.

    Examples
    --------
    >>> summary = synet.summarize("best.tflite")
    >>> summary.layers[0].name, summary.layers[0].kind, summary.layers[0].shape
    ('model.1.first.conv', 'CONV_2D', (1, 32, 48, 4))
    """
    read = format_of(model)
    source = ModelSource(model, image_shape, repo, chip, cfg)
    if claimed(model, image_shape, repo):
        content = built("summary", model, lambda: _packed(read.layers(source)))
        layers = [Layer(**each | {"shape": tuple(each["shape"])}) for each in json.loads(content)]
    else:
        layers = read.layers(source)
    holds_weights = Path(model).suffix not in ("", ".yaml", ".yml")
    size = Path(model).stat().st_size if holds_weights else None
    return Summary(str(model), read.layout, tuple(layers), size)


def _packed(layers: Iterable[Layer]) -> bytes:
    return json.dumps([asdict(layer) for layer in layers]).encode()


def shown(shape: tuple[int | None, ...]) -> str:
    """A shape, as tables have it."""
    return "x".join("?" if side is None else str(side) for side in shape)
