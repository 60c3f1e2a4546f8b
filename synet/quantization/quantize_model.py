"""From a trained torch model to an int8 TFLite file that is known to do the same.

The steps, in the order in which `quantize_model` reads: Keras from torch, and from it a float file
that is checked against torch on real images; int8 from that, calibrated on real images; int8
checked against float, and the file against the chip. A missed bar is an error, and leaves no file;
where the images leave nothing to hold it to, the file says itself that it is not proven.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synet import zoo
from synet.chips import get_chip
from synet.data.calibration import Calibration, calibration_for
from synet.data.images import read_image
from synet.detections.tflite_outputs import task_of
from synet.export.convert import (
    convert,
    image_channels,
    inspection_bytes,
    quantized,
    random_calibration,
    to_keras,
)
from synet.export.tensorflow import import_keras, to_float
from synet.layers.heads import find_head
from synet.layerwise.errors import Comparison
from synet.layerwise.pair import compare_files
from synet.models.get_model import load_network
from synet.quantization.agreement import Agreement, compare, torch_runner
from synet.quantization.proof import Proof, prove, unproven
from synet.system.errors import SynetError, UnfitError, VerificationError
from synet.system.files import refuse_foreign, refuse_used, write_atomic
from synet.system.steps import step
from synet.system.version import VERSION
from synet.tflite.kernels import FAST
from synet.tflite.metadata import RANDOM, is_random
from synet.tflite.model import TfliteModel, embed_metadata, read_metadata
from synet.verdict.fit import memory_problems
from synet.verdict.judge import Judgement, judge

if TYPE_CHECKING:
    import keras
    from torch import nn

LOGGER = logging.getLogger("synet")

KERAS_BAR = 1e-4  # float file against torch: scores, and boxes as a fraction of the longer side
CHECKED = 16  # images that both comparisons look at
LEVELS = 1 / 64  # a model that scales its image by less takes pixels of 0 to 255


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
    proof
        How far int8 is from float, by which bar, and whether that proves it.
    judged
        What the chip says.
    problems
        Bars that were missed under ``force``, and memory that a fork's own model lacks.
    layers
        The error of every layer, where their outputs were dumped.
    """

    content: bytes
    path: Path
    calibration: Calibration
    keras: Agreement
    proof: Proof
    judged: Judgement
    problems: tuple[str, ...]
    layers: Comparison | None = None

    @property
    def int8(self) -> Agreement:
        """Mean difference between int8 and float, over the rows that count."""
        return self.proof.agreement


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
        it. The file says that it is not proven: nothing is compared here, see `quantize_model`.
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
        An image size that is not the model's, a model of pixels of 0 to 255, a data set without
        images, a file that cannot be written, or would be lost to one of random images.

    Examples
    --------
    >>> import keras
    >>> from synet.quantize import quantize
    >>> image = keras.Input((48, 64, 1), batch_size=1)
    >>> model = keras.Model(image, keras.layers.Conv2D(8, 3, padding="same", name="conv")(image))
    >>> content = quantize(model, "my.yaml", (48, 64), out_path="model.tflite", progress=False)
    >>> content[4:8]
    b'TFL3'
    """
    if out_path is not None:
        _refuse_loss(Path(out_path), data is None)
    calibration = _calibration(keras_model, data, image_size, number, seed)
    content = convert(keras_model, calibration, progress)
    proof = unproven(f"calibrated on {RANDOM}" if data is None else "it was compared with nothing")
    content = embed_metadata(content, {**_facts(calibration, proof), **(metadata or {})})
    if out_path is not None:
        _refuse_loss(Path(out_path), data is None)  # it took a while
        write_atomic(out_path, content)
    return content


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
    random: bool = False,
    force: bool = False,
    dump_layers: tuple[str | Path, str | Path] | None = None,
    progress: bool = True,
    strict: bool = False,
    compiler: str = "",
) -> Result:
    """Export a checkpoint, or the untrained model of a yaml, and prove the result.

    A model whose yaml says that it is made for a chip must fit the chip's memory. Of any
    other, a fork's own, the result says what does not fit, and at which image size it would.

    Parameters
    ----------
    model
        A ``.pt`` checkpoint, a model yaml or a name from the zoo.
    data, number, seed
        As in `quantize`. A checkpoint needs data, or `random`.
    image_shape
        Height and width. Default: the model's own.
    out_path
        Default: beside a checkpoint, ``.tflite`` in place of ``.pt``, or ``-random.tflite``;
        ``model.tflite`` in the working directory for a yaml. A file there is replaced only if
        SyNet made it, and one of real images not by one of random images.
    repo
        Folder of the fork that trained it. Default: the installed yolov5 package.
    chip
        Chip to check against. Default: the one it was built for.
    compiler
        The version of its compiler to ask, see `synet.chips.Chip.asking`. Default: the first that
        the chip's file lists.
    random
        Calibrate on random images, for a file that is looked at and not used.
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

    Examples
    --------
    >>> result = synet.quantize_model("best.pt", "my.yaml", progress=False)
    >>> result.path.name, result.proof.proven, result.judged.violations
    ('best.tflite', True, ())
    """
    path = _place(Path(model), data, random, out_path)
    _refuse_loss(path, data is None)
    if dump_layers:
        read_image(dump_layers[0])
        refuse_used(dump_layers[1])
    step(f"loading {model}")
    network, shape = load_network(model, image_shape, repo, chip)
    target = get_chip(chip or network.synet["chip"]).asking(compiler)
    head, form = find_head(network)
    _tell_of(network, shape, form.note(head))
    channels = image_channels(network)
    whole = form.task == "classify"
    calibration = _calibration_for(data, shape, channels, number, seed, whole, strict)

    step("exporting to Keras and a float file")
    torchs = torch_runner(network)
    keras_model = to_keras(network, shape, channels)
    float_file = to_float(keras_model)
    sample = list(islice(calibration.images(), CHECKED))
    step("comparing Keras with torch")
    exported = compare(sample, torchs, TfliteModel(float_file, kernels=FAST).run, shape, max)
    problems = []
    if max(exported.scores, exported.boxes) > KERAS_BAR:
        problems.append(
            f"Keras differs from torch by {exported.scores:.1e} (scores) and {exported.boxes:.1e} "
            f"(boxes), bar {KERAS_BAR:.0e}"
        )
        _missed(problems, VerificationError, force)
    content = quantized(float_file, calibration, progress)
    if data is None:
        proof = unproven(f"calibrated on {RANDOM}")
    else:
        step("comparing int8 with float")
        proof = prove(sample, float_file, content, shape, _path_of(head, network))
        problems += [proof.missed] if proof.is_beyond else []
        _missed(problems, VerificationError, force)
        proof = replace(proof, missed="; ".join(problems) or proof.missed)
        if not proof.proven:
            LOGGER.warning("not proven: %s", proof.missed)
    facts = {**_facts(calibration, proof), **_task(keras_model), "chip": target.name}
    facts |= _training(network)
    facts["names"] = [network.names[i] for i in sorted(network.names)]
    content = embed_metadata(content, {**facts, "strides": [int(s) for s in network.stride]})
    step(f"asking whether {target.name} runs it")
    judged = judge(content, target)
    memory = memory_problems(
        judged, shape, int(max(network.stride)), lambda other: inspection_bytes(network, other)
    )
    problems += [str(violation) for violation in judged.operations]
    made_for_it = zoo.claims(getattr(network, "yaml", {})).chip == target.name
    _missed(problems + memory if made_for_it else problems, UnfitError, force)
    problems += memory
    _refuse_loss(path, data is None)  # it took a while
    write_atomic(path, content)
    layers = None
    if dump_layers:
        image, folder = dump_layers
        step("writing what every layer makes of the image")
        layers = compare_files(float_file, content, [Path(image)], folder, progress=False)
    return Result(content, path, calibration, exported, proof, judged, tuple(problems), layers)


def _place(model: Path, data: Any, random: bool, out_path: str | Path | None) -> Path:
    """Where the file of a model goes, once it is clear which images it is calibrated on."""
    trained = model.suffix == ".pt"
    if random and data is not None:
        raise SynetError(f"give one of --data {data} and --random")
    name = f"{model.stem}-random.tflite" if random else f"{model.stem}.tflite"
    if trained and data is None and not random and model.is_file():
        raise SynetError(
            f"{model}: a trained model is calibrated on images; give them with --data YAML, or "
            f"--random for {model.stem}-random.tflite, which is good to look at only"
        )
    return Path(out_path or (model.with_name(name) if trained else "model.tflite"))


def _tell_of(network: nn.Module, shape: tuple[int, int], note: str) -> None:
    """Warn of what is exported otherwise than it was trained."""
    stride = int(max(network.stride))
    if any(side % stride for side in shape):
        LOGGER.warning(
            "%dx%d is no multiple of the largest stride, %d: cells lie elsewhere than in training "
            "images that were, so expect to find less",
            *(*shape, stride),
        )
    if note:
        LOGGER.warning("%s", note)


def _path_of(module: nn.Module, network: nn.Module) -> str:
    return next(path for path, each in network.named_modules() if each is module)


def quantize_checkpoint(weights: str | Path, data: str | Path, **options: Any) -> Result:
    """`quantize_model` for a trained checkpoint, which needs real images.

    Examples
    --------
    >>> from synet.quantize import quantize_checkpoint
    >>> options = {"number": 1, "out_path": "small.tflite", "progress": False}
    >>> quantize_checkpoint("best.pt", "my.yaml", **options).path.name
    'small.tflite'
    """
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
    _refuse_levels(keras_model)
    _, height, width, channels = keras_model.inputs[0].shape
    shape = matching_shape(image_size, (height, width))
    whole = isinstance(keras_model.output, dict) and "probabilities" in keras_model.output
    return _calibration_for(data, shape, channels, number, seed, whole)


def _calibration_for(
    data: str | Path | None,
    shape: tuple[int, int],
    channels: int,
    number: int,
    seed: int,
    whole: bool,
    strict: bool = False,
) -> Calibration:
    """`calibration_for`; without data on random images, and a warning."""
    if data is not None:
        return calibration_for(data, shape, channels, number, seed, whole, strict)
    if number < 1:
        raise SynetError(f"number of calibration images: {number} is not at least 1")
    LOGGER.warning(
        "no data set given: calibrated on random images, the file is for inspection only, and not "
        "proven"
    )
    return random_calibration(shape, channels, seed)


def _refuse_levels(keras_model: keras.Model) -> None:
    """Refuse a model that makes 0 to 1 of pixels of 0 to 255: that is what int8 itself does."""
    scaling = import_keras().layers.Rescaling
    for layer in keras_model.layers[:2]:  # the image is the first
        if isinstance(layer, scaling) and np.all(np.abs(layer.scale) < LEVELS):
            raise SynetError(
                f"layer {layer.name} scales pixels of 0 to 255: give the model without it, of an "
                f"image of 0 to 1, which int8 holds pixel by pixel"
            )


def _facts(calibration: Calibration, proof: Proof) -> dict[str, Any]:
    """What a reader of the file may want to know of how it came about."""
    return {
        "producer": f"synet {VERSION}",
        "image_shape": list(calibration.image_shape),
        "imgsz": list(calibration.image_shape),
        "channels": calibration.channels,
        "colour": "grayscale" if calibration.channels == 1 else "rgb",
        "calibration": {
            "source": calibration.source,
            "images": len(calibration),
            "seed": calibration.seed,
        },
        "proof": proof.metadata(),
    }


def _training(network: nn.Module) -> dict[str, Any]:
    """What the data must look like that judges the model, as evaluating asks."""
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


def _refuse_loss(path: Path, random: bool) -> None:
    """Refuse to replace what SyNet did not make, or a file of real images by one of random ones."""
    refuse_foreign(path, _is_ours)
    if random and path.is_file() and not is_random(read_metadata(path)):
        raise SynetError(
            f"{path} was calibrated on images, and this one would be on random ones; give --data "
            f"YAML, or another file with --out"
        )


def _is_ours(path: Path) -> bool:
    try:
        return str(read_metadata(path).get("producer", "")).startswith("synet")
    except SynetError:
        return False
