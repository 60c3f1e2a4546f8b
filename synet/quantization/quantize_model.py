"""From a trained torch model to an int8 TFLite file that is known to do the same.

The steps, in the order in which they are written here: Keras from torch, and from it a float file
that is checked against torch on real images; in that, operations that stand for activations which
the chip would take several for; int8 from that, calibrated on real images; int8 checked against
the float file that is what torch is, and the file against the chip. A missed bar is an error, and
leaves no file; where the images leave nothing to hold it to, the file says itself that it is not
proven.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from synet.data.calibration import Calibration
from synet.data.images import read_image
from synet.export.convert import inspection_bytes, quantized, to_keras
from synet.export.tensorflow import to_float
from synet.layerwise.errors import Comparison
from synet.layerwise.pair import compare_files
from synet.quantization.activations import Activations, Twin, twin_of
from synet.quantization.agreement import Agreement, compare_outputs, torch_runner
from synet.quantization.bars import Bars
from synet.quantization.candidate import Candidate, find_candidate
from synet.quantization.facts import model_facts
from synet.quantization.images import Images
from synet.quantization.place import place_of, refuse_loss
from synet.quantization.proof import Proof, prove, unproven
from synet.system.errors import UnfitError, VerificationError
from synet.system.files import refuse_used, write_atomic
from synet.system.steps import step
from synet.tflite.kernels import FAST
from synet.tflite.metadata import RANDOM, embed_metadata
from synet.tflite.model import TfliteModel
from synet.verdict.fit import memory_problems
from synet.verdict.judge import Judgement, judge

LOGGER = logging.getLogger("synet")

KERAS_BAR = 1e-4  # float file against torch: scores, and boxes as a fraction of the longer side


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
    twin
        The float file that became int8: that one, but for what stands in for activations.
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
    twin: Twin
    proof: Proof
    judged: Judgement
    problems: tuple[str, ...]
    layers: Comparison | None = None

    @property
    def int8(self) -> Agreement:
        """Mean difference between int8 and float, over the rows that count."""
        return self.proof.agreement


def quantize_model(
    model: str | Path,
    data: str | Path | None = None,
    image_shape: tuple[int, int] | None = None,
    *,
    number: int = 500,
    out_path: str | Path | None = None,
    seed: int = 0,
    repo: str | Path | None = None,
    chip: str | None = None,
    random: bool = False,
    force: bool = False,
    dump_layers: tuple[str | Path, str | Path] | None = None,
    progress: bool = True,
    strict: bool = False,
    compiler: str = "",
    cfg: str | Path | None = None,
    make_safe: bool = False,
    approximate: str | None = None,
    exact: Sequence[str] = (),
) -> Result:
    """Export a checkpoint, or the untrained model of a yaml, and prove the result.

    A model whose yaml says that it is made for a chip must fit the chip's memory. Of any
    other, a fork's own, the result says what does not fit, and at which image size it would.

    Parameters
    ----------
    model, image_shape, repo, chip, compiler, cfg, make_safe
        As for `synet.quantization.candidate.find_candidate`.
    data, number, seed, strict
        As for `synet.quantization.images.Images`. A checkpoint needs data, or `random`.
    random, out_path
        As for `synet.quantization.place.place_of`.
    force
        Keep a file that misses a bar.
    approximate, exact
        As ``by`` and ``exact`` of `synet.quantization.activations.Activations`.
    dump_layers
        An image, and a new folder for what every layer makes of it; see `synet.layerwise.dump`.

    Raises
    ------
    VerificationError, UnfitError
        Keras is not torch, or int8 is not float; the chip cannot run the file.
    SynetError
        As `find_candidate`; or a file or a folder that is in use.

    Examples
    --------
    >>> result = synet.quantize_model("best.pt", "my.yaml", progress=False)
    >>> result.path.name, result.proof.proven, result.judged.violations
    ('best.tflite', True, ())
    """
    path = _free_place(Path(model), data, random, out_path, dump_layers)
    images = Images(data, number, seed, strict)
    candidate = find_candidate(model, image_shape, repo, chip, compiler, images, cfg, make_safe)
    wanted = Activations(approximate, exact)
    return _make(candidate, path, wanted, Bars(force), dump_layers, progress)


def _free_place(
    model: Path,
    data: str | Path | None,
    random: bool,
    out_path: str | Path | None,
    dump_layers: tuple[str | Path, str | Path] | None,
) -> Path:
    """Where the file goes. What is in use is refused before any work."""
    path = place_of(model, data, random, out_path)
    refuse_loss(path, data is None)
    if dump_layers:
        read_image(dump_layers[0])
        refuse_used(dump_layers[1])
    return path


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


def _make(
    candidate: Candidate,
    path: Path,
    wanted: Activations,
    bars: Bars,
    dump_layers: tuple[str | Path, str | Path] | None,
    progress: bool,
) -> Result:
    """All steps."""
    step("exporting to Keras and a float file")
    keras_model = to_keras(candidate.network, candidate.shape, candidate.calibration.channels)
    float_file = to_float(keras_model)
    sample = candidate.sample()
    exported = _held_to_torch(candidate, sample, float_file, bars)
    twin = twin_of(candidate, sample, float_file, wanted)
    content = quantized(twin.content, candidate.calibration, progress)
    proof = _held_to_float(candidate, sample, (float_file, twin.content), content, bars)
    content = embed_metadata(content, model_facts(candidate, keras_model, proof, twin))
    judged = _held_to_chip(candidate, content, bars)
    refuse_loss(path, candidate.is_on_random_images)  # it took a while
    write_atomic(path, content)
    layers = None
    if dump_layers:
        image, folder = dump_layers
        step("writing what every layer makes of the image")
        layers = compare_files(twin.content, content, [Path(image)], folder, progress=False)
    calibration, missed = candidate.calibration, tuple(bars.missed)
    return Result(content, path, calibration, exported, twin, proof, judged, missed, layers)


def _held_to_torch(
    candidate: Candidate, sample: Sequence[np.ndarray], float_file: bytes, bars: Bars
) -> Agreement:
    step("comparing Keras with torch")
    floats = TfliteModel(float_file, kernels=FAST)
    found = compare_outputs(
        sample, torch_runner(candidate.network), floats.run, candidate.shape, max
    )
    if max(found.scores, found.boxes) > KERAS_BAR:
        told = f"{found.scores:.1e} (scores) and {found.boxes:.1e} (boxes), bar {KERAS_BAR:.0e}"
        bars.hold([f"Keras differs from torch by {told}"], VerificationError)
    return found


def _held_to_float(
    candidate: Candidate,
    sample: Sequence[np.ndarray],
    float_files: tuple[bytes, bytes],
    content: bytes,
    bars: Bars,
) -> Proof:
    """To the one that is what torch is, and its features to the one that became int8."""
    if candidate.is_on_random_images:
        return unproven(f"calibrated on {RANDOM}")
    step("comparing int8 with float")
    exact, twin = float_files
    proof = prove(sample, exact, content, candidate.shape, candidate.head, twin)
    if proof.is_beyond:
        bars.hold([proof.missed], VerificationError)
    proof = replace(proof, missed="; ".join(bars.missed) or proof.missed)
    if not proof.proven:
        LOGGER.warning("not proven: %s", proof.missed)
    return proof


def _held_to_chip(candidate: Candidate, content: bytes, bars: Bars) -> Judgement:
    """Its memory is no bar for a model that is not made for it."""
    step(f"asking whether {candidate.chip.name} runs it")
    judged = judge(content, candidate.chip)
    operations = [str(violation) for violation in judged.operations]
    remake = partial(inspection_bytes, candidate.network, chip=candidate.chip)
    memory = memory_problems(judged, candidate.shape, candidate.stride, remake)
    if candidate.is_made_for_its_chip:
        bars.hold(operations + memory, UnfitError)
    else:
        bars.hold(operations, UnfitError)
        bars.note(memory)
    return judged
