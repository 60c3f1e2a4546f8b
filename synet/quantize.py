"""From a trained torch model to an int8 TFLite file that is known to do the same.

The steps, in the order in which `quantize_model` reads: Keras from torch, and from it a float file
that is checked against torch on real images; int8 from that, calibrated on real images; int8
checked against float, and the file against the chip. A missed bar is an error, and leaves no file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import synet
from synet import zoo
from synet.agreement import Agreement, compare, torch_runner
from synet.calibration import Calibration, calibration_for
from synet.chips import get_chip
from synet.errors import SynetError, UnfitError, VerificationError
from synet.export.context import askeras
from synet.export.tensorflow import import_keras, to_float, to_int8
from synet.files import refuse_foreign, refuse_used, write_atomic
from synet.images import read_image
from synet.judge import judge
from synet.layers.heads import find_head
from synet.layerwise.errors import Comparison
from synet.layerwise.pair import compare_files
from synet.memory import memory_problems
from synet.models import get_model
from synet.predictor import image_channels
from synet.roles import task_of
from synet.streams import user_stream
from synet.system.steps import counted, step
from synet.tflite import TfliteModel, embed_metadata, read_metadata

if TYPE_CHECKING:
    import keras
    from torch import nn

LOGGER = logging.getLogger("synet")

KERAS_BAR = 1e-4  # float file against torch: scores, and boxes as a fraction of the longer side
SCORE_BAR = 0.05  # int8 against float: mean over confident rows
BOX_BAR = 0.01  # the same for boxes, as a fraction of the longer side
CONFIDENT = 0.25
CHECKED = 16  # images that both comparisons look at


@dataclass(frozen=True)
class Result:
    """What `quantize_model` made.

    Parameters
    ----------
    content
        The TFLite file.
    path
        Where it was written.
    keras
        Largest difference between torch and the float file that Keras makes.
    int8
        Mean difference between int8 and float, over rows that float is sure of.
    problems
        Bars that were missed under ``force``, and memory that a fork's own model lacks.
    layers
        The error of every layer, where their outputs were dumped.
    """

    content: bytes
    path: Path
    calibration: Calibration
    keras: Agreement
    int8: Agreement
    problems: tuple[str, ...]
    layers: Comparison | None = None


def quantize(
    keras_model: keras.Model,
    data: str | Path | None = None,
    image_size: Sequence[int] | None = None,
    number: int = 500,
    out_path: str | Path | None = None,
    *,
    seed: int = 0,
    metadata: dict[str, Any] | None = None,
    progress: bool = True,
) -> bytes:
    """Quantize a Keras model to int8.

    Parameters
    ----------
    keras_model
        One NHWC image in, 0-1.
    data
        Data yaml in YOLO format, or a classifier's folder. Its test split, else its val split,
        calibrates. None calibrates on random images: good for looking at the file, not for using
        it.
    image_size
        (width, height) or (height, width), matched against the model's own input.
    number
        How many calibration images at most.
    out_path
        Where to write the file. One that is there is replaced only if SyNet made it.
    seed
        Of the choice of images.
    metadata
        More to embed as ``metadata.json``.

    Returns
    -------
    The TFLite file.

    Raises
    ------
    SynetError
        An image size that is not the model's, a data set without images, a file that
        cannot be written.
    """
    if out_path is not None:
        refuse_foreign(Path(out_path), _is_ours)
    calibration = _calibration(keras_model, data, image_size, number, seed)
    content = _convert(keras_model, calibration, progress)
    content = embed_metadata(content, {**_facts(calibration), **(metadata or {})})
    if out_path is not None:
        refuse_foreign(Path(out_path), _is_ours)  # it took a while
        write_atomic(out_path, content)
    return content


def to_keras(model: nn.Module, image_shape: tuple[int, int], channels: int) -> keras.Model:
    """The Keras model of a torch module: (1, H, W, C) in, channels last."""
    keras = import_keras()
    inp = keras.Input((*image_shape, channels), batch_size=1, name="image")
    with askeras(imgsz=image_shape):
        return keras.Model(inp, model(inp))


def to_tflite_bytes(
    model: str | Path, image_shape: tuple[int, int] | None = None, repo: str | Path | None = None
) -> bytes:
    """The int8 file of a yaml, zoo name or checkpoint, calibrated on random images.

    For what does not depend on the numbers: operations, shapes, memory.
    """
    return inspection_bytes(*load_network(model, image_shape, repo))


def load_network(
    model: str | Path,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    chip: str = "",
) -> tuple[nn.Module, tuple[int, int]]:
    """`get_model`, and the height and width to export it at: the model's own unless given.

    Raises
    ------
    SynetError
        There is no such model, or nobody says its image shape.
    """
    network = get_model(model, repo, chip=chip)
    shape = image_shape or network.image_shape
    if shape is None:
        raise SynetError(
            f"{model}: says nothing of its image shape; give --image-shape HEIGHT WIDTH"
        )
    return network, tuple(shape)


def inspection_bytes(network: nn.Module, image_shape: tuple[int, int]) -> bytes:
    """As `to_tflite_bytes`, of a network."""
    channels = image_channels(network)
    calibration = Calibration((), image_shape, channels, "random images", 0)
    return _convert(to_keras(network, image_shape, channels), calibration, False)


def quantize_model(
    model: str | Path,
    data: str | Path | None = None,
    image_shape: tuple[int, int] | None = None,
    *,
    number: int = 500,
    out_path: str | Path | None = None,
    seed: int = 0,
    repo: str | Path | None = None,
    chip: str = "",
    force: bool = False,
    dump_layers: tuple[str | Path, str | Path] | None = None,
    progress: bool = True,
    strict: bool = False,
) -> Result:
    """Export a checkpoint, or the untrained model of a yaml, and prove the result.

    A model whose yaml says that it is made for a chip must fit the chip's memory. Of any
    other, a fork's own, the result says what does not fit, and at which image size it would.

    Parameters
    ----------
    model
        A ``.pt`` checkpoint, a model yaml or a name from the zoo.
    data, number, seed
        As in `quantize`.
    image_shape
        Height and width. Default: the model's own.
    out_path
        Default: beside a checkpoint, ``.tflite`` in place of ``.pt``; ``model.tflite`` in the
        working directory for a yaml. A file there is replaced only if SyNet made it.
    repo
        Folder of the fork that trained it. Default: the installed yolov5 package.
    chip
        Chip to check against. Default: the one it was built for.
    force
        Keep a file that misses a bar.
    dump_layers
        An image, and a new folder for what every layer makes of it in float and in int8; see
        `synet.layerwise.dump`.

    Raises
    ------
    VerificationError
        Keras is not torch, or int8 is not float.
    UnfitError
        The chip cannot run the file.
    SynetError
        No such model, no image shape, a head that SyNet does not know, data that cannot be used,
        a file or a folder that is in use.
    """
    trained = Path(model).suffix == ".pt"
    path = Path(out_path or (Path(model).with_suffix(".tflite") if trained else "model.tflite"))
    refuse_foreign(path, _is_ours)
    if dump_layers:
        read_image(dump_layers[0])
        refuse_used(dump_layers[1])
    step(f"loading {model}")
    network, shape = load_network(model, image_shape, repo, chip)
    target = get_chip(chip or network.synet["chip"])
    names = [network.names[i] for i in sorted(network.names)]
    if any(side % int(max(network.stride)) for side in shape):
        LOGGER.warning(
            "%dx%d is no multiple of the largest stride, %d: cells lie elsewhere than in training "
            "images that were, so expect to find less",
            *shape,
            max(network.stride),
        )
    head, form = find_head(network)
    if form.note(head):
        LOGGER.warning("%s", form.note(head))
    channels = image_channels(network)
    whole = form.task == "classify"
    calibration = calibration_for(data, shape, channels, number, seed, whole, strict)

    step("exporting to Keras and a float file")
    torchs = torch_runner(network)
    keras_model = to_keras(network, shape, channels)
    float_file = to_float(keras_model)
    exact = TfliteModel(float_file).run
    sample = list(islice(calibration.images(), CHECKED))
    step("comparing Keras with torch")
    exported = compare(sample, torchs, exact, shape, max)
    problems = []
    if max(exported.scores, exported.boxes) > KERAS_BAR:
        problems.append(
            f"Keras differs from torch by {exported.scores:.1e} (scores) and {exported.boxes:.1e} "
            f"(boxes), bar {KERAS_BAR:.0e}"
        )
        _missed(problems, VerificationError, force)
    content = _quantized(float_file, calibration, progress)
    facts = {**_facts(calibration), **_task(keras_model), "names": names, "chip": target.name}
    facts |= _training(network)
    content = embed_metadata(content, {**facts, "strides": [int(s) for s in network.stride]})
    step("comparing int8 with float")
    quantized = TfliteModel(content)
    int8 = compare(sample, exact, quantized.run, shape, np.mean, CONFIDENT)
    if int8.scores > SCORE_BAR or int8.boxes > BOX_BAR:
        problems.append(
            f"int8 differs from float by {int8.scores:.3f} (scores, bar {SCORE_BAR}) and "
            f"{int8.boxes:.4f} of the image (boxes, bar {BOX_BAR})"
        )
        _missed(problems, VerificationError, force)
    step(f"asking whether {target.name} runs it")
    judged = judge(content, target)
    memory = memory_problems(
        judged, shape, int(max(network.stride)), lambda other: inspection_bytes(network, other)
    )
    problems += [str(violation) for violation in judged.operations]
    made_for_it = zoo.claims(getattr(network, "yaml", {})).chip == target.name
    _missed(problems + memory if made_for_it else problems, UnfitError, force)
    problems += memory
    refuse_foreign(path, _is_ours)  # it took a while
    write_atomic(path, content)
    layers = None
    if dump_layers:
        image, folder = dump_layers
        step("writing what every layer makes of the image")
        layers = compare_files(float_file, content, [Path(image)], folder, progress=False)
    return Result(content, path, calibration, exported, int8, tuple(problems), layers)


def quantize_checkpoint(weights: str | Path, data: str | Path, **options: Any) -> Result:
    """`quantize_model` for a trained checkpoint, which needs real images."""
    return quantize_model(weights, data, **options)


def matching_shape(size: Sequence[int] | None, own: tuple[int, int]) -> tuple[int, int]:
    """`own`, once `size` is found to mean it: as (height, width) or as (width, height).

    Raises
    ------
    SynetError
        It is neither.
    """
    if size is None or tuple(size) in (own, own[::-1]):
        return own
    asked = "x".join(str(n) for n in size)
    raise SynetError(
        f"image size {asked} is not the model's {own[0]}x{own[1]} (height x width), nor turned"
    )


def _calibration(
    keras_model: keras.Model,
    data: str | Path | None,
    image_size: Sequence[int] | None,
    number: int,
    seed: int,
) -> Calibration:
    _, height, width, channels = keras_model.inputs[0].shape
    shape = matching_shape(image_size, (height, width))
    whole = isinstance(keras_model.output, dict) and "probabilities" in keras_model.output
    return calibration_for(data, shape, channels, number, seed, whole)


def _convert(keras_model: keras.Model, calibration: Calibration, progress: bool) -> bytes:
    import_keras()
    return _quantized(to_float(keras_model), calibration, progress)


def _quantized(model: bytes, calibration: Calibration, progress: bool) -> bytes:
    with user_stream() as stream:  # the converter's own is shut
        images = counted(calibration.images(), "calibrating", len(calibration), progress, stream)
        return to_int8(model, lambda: images)


def _facts(calibration: Calibration) -> dict[str, Any]:
    """What a reader of the file may want to know of how it came about."""
    return {
        "producer": f"synet {synet.__version__}",
        "image_shape": list(calibration.image_shape),
        "imgsz": list(calibration.image_shape),
        "channels": calibration.channels,
        "colour": "grayscale" if calibration.channels == 1 else "rgb",
        "calibration": {
            "source": calibration.source,
            "images": len(calibration),
            "seed": calibration.seed,
        },
    }


def _training(network: nn.Module) -> dict[str, Any]:
    """What the data must look like that judges the model, as `synet.evaluate.judged_by` asks."""
    return {
        "trained_by": getattr(network, "trained_by", ""),
        "single_cls": getattr(network, "single_class", False),
    }


def _task(keras_model: keras.Model) -> dict[str, Any]:
    """What the outputs are for, in the words that a YOLO's own metadata has for it."""
    shapes = {name: tuple(output.shape) for name, output in keras_model.output.items()}
    facts: dict[str, Any] = {"task": task_of(shapes) or "detect"}
    if "keypoints" in shapes:
        numbers = 3 if "presence" in shapes else 2
        facts["kpt_shape"] = [shapes["keypoints"][-1] // 2, numbers]
    return facts


def _missed(problems: Sequence[str], kind: type[SynetError], force: bool) -> None:
    if problems and not force:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise kind(f"{problems[0]}{more}; no file was written, --force keeps it")


def _is_ours(path: Path) -> bool:
    try:
        return str(read_metadata(path).get("producer", "")).startswith("synet")
    except SynetError:
        return False
