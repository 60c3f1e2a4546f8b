"""``synet quantize``: a checked int8 file of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE, MODEL
from synet.commands.printing import figures, say
from synet.system.errors import SynetError

if TYPE_CHECKING:
    from synet.quantization.quantize_model import Result
    from synet.verdict.judge import Judgement


@click.command(cls=options.Gathering)
@click.argument("model", required=False, type=MODEL)
@click.option(
    "--backend",
    type=click.Choice(["yolov5", "ultralytics"]),
    help="The installed YOLO, where no --repo is given. Default: the one that the weights name.",
)
@click.option("--weights", type=FILE, metavar="PT", help="MODEL, as YOLOs spell a checkpoint.")
@click.option(
    "--cfg",
    type=MODEL,
    metavar="YAML",
    help="An untrained MODEL, as YOLOs spell it; or what MODEL was built from, a state dict.",
)
@options.data
@options.shape
@click.option("--number", default=500, show_default=True, help="Calibration images at most.")
@click.option("--seed", default=0, show_default=True, help="Of the choice of images.")
@options.out(FILE, "Default: beside the checkpoint, or ./model.tflite.")
@options.chip("Default: the one it was trained for.")
@options.compiler
@click.option(
    "--make-safe",
    is_flag=True,
    help="Of a model that was trained without SyNet: put in what the chip has for what it lacks.",
)
@click.option(
    "--approximate",
    type=click.Choice(["GELU", "HARD_SWISH", "none"]),
    help="What may stand for activations that take the chip several. "
    "Default: what is close and costs nothing there.",
)
@click.option(
    "--exact", multiple=True, metavar="LAYER...", help="Layers that keep their activations."
)
@click.option("--random", is_flag=True, help="Calibrate on random images, to look at the file.")
@click.option("--force", is_flag=True, help="Keep the file even if it misses a bar.")
@click.option(
    "--dump-layers",
    nargs=2,
    type=FILE,
    metavar="IMAGE DIR",
    help="Write what every layer makes of an image, in float and in int8, as .npy.",
)
@options.strict
@options.repo
@options.json
def quantize(
    model: str | None,
    backend: str | None,
    weights: str | None,
    cfg: str | None,
    out: str | None,
    force: bool,
    **given: Any,
) -> None:
    """Export MODEL to an int8 TFLite file, and prove that it does what the float model did.

    MODEL is a checkpoint, or of an untrained model a yaml or a name from the zoo. One that was
    trained without SyNet is exported as it was trained.

    \b
    Example:
      synet quantize runs/train/exp/weights/best.pt --data my.yaml
      synet quantize --backend yolov5 --weights best.pt --data my.yaml
      synet quantize yolov8n.pt --chip sabre --data my.yaml --image-shape 256 320
      synet quantize katana-kqvga
      synet quantize best.pt --data my.yaml --dump-layers street.jpg layers
    """
    is_filled = model is not None and Path(model).suffix == ".pt"
    built_from = cfg if is_filled else None  # of a state dict
    models = [each for each in (model, weights, None if is_filled else cfg) if each is not None]
    if len(models) != 1:
        raise SynetError("give one MODEL, or give one of --weights PT and --cfg YAML")
    _check_kind(weights, cfg)
    from synet.system.steps import telling

    with telling("starting"):
        from synet.models.locate import installed
        from synet.quantization.quantize_model import quantize_model
        from synet.tflite.metadata import notes_of, read_metadata

        if backend and not given["repo"]:
            given["repo"] = installed(backend)
        result = quantize_model(models[0], out_path=out, force=force, cfg=built_from, **given)
    figures(_told(result))
    say(f"calibrated on {result.calibration.source}, seed {result.calibration.seed}")
    say(
        f"Keras against torch: at most {result.keras.scores:.1e} (scores), "
        f"{result.keras.boxes:.1e} of the image (boxes)"
    )
    metadata = read_metadata(result.content)
    for note in notes_of(metadata):
        say(note)
    if result.twin.agreement:
        say(f"float with what stands in against float without: {result.twin}")
    say(f"int8 against float: {result.proof}")
    for problem in result.problems:
        say(f"problem: {problem}", err=True)
    if result.layers:
        say(f"wrote every layer's output to {given['dump_layers'][1]}")
        say(result.layers.verdict())
    size = f"{len(result.content) / 1024:.0f} KiB"
    needs = f"; it needs {metadata['needs']}" if metadata.get("needs") else ""
    told = f"{_verdict(result.judged)}{needs}"
    say(f"wrote {result.path} ({size}), which {told}")


def _check_kind(weights: str | None, cfg: str | None) -> None:
    if weights is not None and Path(weights).suffix != ".pt":
        raise SynetError(
            f"--weights {weights}: no checkpoint, which ends in .pt; of an untrained model say "
            f"--cfg {weights}"
        )
    if cfg is not None and Path(cfg).suffix == ".pt":
        raise SynetError(f"--cfg {cfg}: a checkpoint; say --weights {cfg}")


def _verdict(judged: Judgement) -> str:
    """Whether it fits the chip, the memory of its limit, and the time of an image."""
    from synet.verdict.check import kib

    chip, compiled = judged.chip, judged.compiled
    fits = "does not fit" if judged.violations else "fits"
    used, limit = judged.peak_bytes / 1024, kib(chip.activations_max_bytes)
    if compiled is None:
        return f"{fits} {chip.name}: {used:.1f} of {limit} activations; its speed is not public"
    return (
        f"{fits} {chip.name}: {used:.1f} of {limit} SRAM, {1e3 * compiled.seconds:.2f} ms an "
        f"image, says Vela {compiled.version}"
    )


def _told(result: Result) -> dict[str, Any]:
    """The figures of the lines."""
    calibration = result.calibration
    return {
        "path": result.path,
        "bytes": len(result.content),
        "calibration": {
            "source": calibration.source,
            "images": len(calibration),
            "seed": calibration.seed,
        },
        "keras": result.keras,
        "twin": result.twin.agreement,
        "approximates": [each.metadata() for each in result.twin.stand_ins],
        "int8": result.int8,
        "proof": result.proof.metadata(),
        "chip": result.judged.chip.name,
        "fits": not result.judged.violations,
        "verdict": _verdict(result.judged),
        "problems": result.problems,
        "layers": result.layers and result.layers.records(),
    }
