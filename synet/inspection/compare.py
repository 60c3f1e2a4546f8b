"""Where int8 loses precision: the error of every layer of a file, named as in the network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from synet.data.sources import find_sources
from synet.export.convert import to_keras
from synet.layerwise.dump import write_csv
from synet.layerwise.errors import Closeness, Comparison, LayerError
from synet.layerwise.origins import NotTwins
from synet.layerwise.pair import compare_files, dump_layers
from synet.models.get_model import load_network
from synet.system.errors import DataError, SynetError
from synet.system.files import atomic_path, refuse_unwritable, refuse_used, write_atomic
from synet.system.steps import step
from synet.tflite.graph import Graph, read_graph
from synet.tflite.kernels import FAST
from synet.tflite.model import TfliteModel, read_content

__all__ = ["Closeness", "Comparison", "LayerError", "compare_layers", "dump_int8"]


def compare_layers(
    reference: str | Path | bytes,
    int8: str | Path | bytes,
    images: Iterable[str | Path],
    repo: str | Path | None = None,
    dump: str | Path | None = None,
    progress: bool = True,
    out: str | Path | None = None,
    cfg: str | Path | None = None,
) -> Comparison:
    """Compare every layer of an int8 file with the float model that it was made from.

    Parameters
    ----------
    reference
        The ``.pt`` checkpoint, which is exported again at the image shape of the int8 file, with
        what stands in there for activations; or a float TFLite file.
    int8
        The TFLite file. It runs on TFLite's reference kernels, whose numbers are those that
        compilers for chips are tested against.
    images
        Image files; a folder stands for the images in it. They are fitted as in validation.
    repo, cfg
        As for `synet.get_model`.
    dump
        A new folder for every layer's output of both, see `synet.layerwise.dump`.
    progress
        Whether to show a progress bar on stderr.
    out
        A new ``.csv`` or ``.json`` file for the table, worst first. What is in use is refused.

    Raises
    ------
    SynetError
        The int8 file is none, or was not made from the float model; a file cannot be read or run.

    Examples
    --------
    >>> found = synet.compare_layers("best.pt", "best.tflite", ["street.jpg"], progress=False)
    >>> found.layers[1].layer, found.layers[1].op
    ('model.1.first.conv', 'CONV_2D')
    >>> found.worst()[0][1].lost_db <= found.layers[1].lost_db
    True
    """
    if out is not None:
        _refuse_used_file(Path(out))
    if dump is not None:
        refuse_used(dump)
    name, content = _int8_file(int8)
    files = _files(images)
    floats = _float_file(reference, TfliteModel(int8, kernels=FAST), repo, cfg)
    try:
        found = compare_files(floats, content, files, dump, progress)
    except NotTwins as error:
        given = "the float model" if isinstance(reference, bytes) else reference
        raise SynetError(f"{name} was not made from {given}: {error}") from None
    if out is not None:
        _save(found, Path(out))
    return found


def dump_int8(
    int8: str | Path | bytes,
    images: Iterable[str | Path],
    dump: str | Path,
    progress: bool = True,
) -> None:
    """Write every layer's output of an int8 file alone, for one whose float model is not at hand.

    Parameters
    ----------
    int8, images, dump, progress
        As for `compare_layers`.
    """
    _, content = _int8_file(int8)
    dump_layers(content, _files(images), dump, progress)


def _int8_file(source: str | Path | bytes) -> tuple[str, bytes]:
    name, content = read_content(source)
    if not _is_quantized(read_graph(source)):
        raise SynetError(
            f"{name} is not an int8 file; give the one that `synet quantize` made, behind the "
            "float model"
        )
    return name, content


def _float_file(
    reference: str | Path | bytes,
    int8: TfliteModel,
    repo: str | Path | None,
    cfg: str | Path | None,
) -> bytes:
    if isinstance(reference, bytes) or Path(reference).suffix == ".tflite":
        name, content = read_content(reference)
        if _is_quantized(read_graph(reference)):
            raise SynetError(f"{name} is an int8 file; the float model comes first")
        return content
    if Path(reference).suffix != ".pt":
        raise SynetError(f"{reference}: expected a .pt checkpoint, or a float .tflite file")
    from synet.export.approximate import approximated
    from synet.export.convert import aim, image_channels
    from synet.export.tensorflow import to_float

    step(f"loading {reference}")
    network, shape = load_network(reference, int8.image_shape, repo, cfg=cfg)
    if int8.metadata.get("chip"):
        aim(network, int8.metadata["chip"])
    channels = image_channels(network)
    if channels != int8.channels:
        raise SynetError(
            f"{int8.name} was not made from {reference}: it takes images of {int8.channels} "
            f"channels, and the float model of {channels}"
        )
    step("exporting it to a float file")
    exact = to_float(to_keras(network, shape, channels))
    stand_ins = int8.metadata.get("approximates")
    try:
        return approximated(exact, stand_ins) if stand_ins else exact
    except SynetError as error:
        raise SynetError(f"{int8.name} was not made from {reference}: {error}") from None


def _refuse_used_file(out: Path) -> None:
    if out.suffix not in {".csv", ".json"}:
        raise SynetError(f"--out {out}: a table is written as .csv or .json")
    if os.path.lexists(out):
        raise SynetError(f"{out} exists; name another file with --out")
    refuse_unwritable(out)


def _save(found: Comparison, out: Path) -> None:
    records = found.records()
    if out.suffix == ".json":
        write_atomic(out, json.dumps(records, indent=1, ensure_ascii=False))
        return
    with atomic_path(out) as temporary:
        write_csv(temporary, records)


def _is_quantized(graph: Graph) -> bool:
    return any(graph.tensors[written.tensor].scale for written in graph.written())


def _files(images: Iterable[str | Path]) -> list[Path]:
    sources = find_sources(images)
    for source in sources:
        if source.stream is not None:
            raise DataError(f"{source}: layers are compared on images, not on videos or cameras")
    if not sources:
        raise DataError("give an image, or a folder of images")
    return [source.file for source in sources]
