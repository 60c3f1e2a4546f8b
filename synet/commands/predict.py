"""``synet predict``: what a model finds, drawn and told."""

from __future__ import annotations

from typing import Any

import click

from synet.commands import options
from synet.commands.kinds import FILE, FOLDER, MODEL
from synet.commands.printing import figures, say


@click.command()
@options.model
@click.argument("sources", nargs=-1, required=True, type=FILE, metavar="SOURCE...")
@options.out(FOLDER, "Each run makes a folder in it.", default="runs/predict")
@options.confidence(0.25, "Lowest score to draw.")
@options.iou(0.45)
@click.option(
    "--side-by-side",
    "beside",
    type=MODEL,
    metavar="FLOAT.pt",
    help="Draw what this model of the same task finds on the left.",
)
@click.option(
    "--raw/--no-raw",
    default=None,
    help="Save the network's outputs as .npy. Default: of images, not of videos.",
)
@options.count("--frames", "Of each video or camera, at most N.", metavar="N")
@options.shape
@options.device
@options.batch
@options.kernels("reference")
@options.maker
@options.json
def predict(model: str, sources: tuple[str, ...], out: str, **given: Any) -> None:
    """Draw and save what MODEL, .pt or .tflite, finds in each SOURCE.

    A SOURCE is an image, a video, a folder of them, a glob in quotes, or the number of a camera
    (which Ctrl-C stops).

    \b
    Example:
      synet predict best.tflite street.jpg more-images/
      synet predict best.tflite "shots/**/*.png" --side-by-side best.pt
      synet predict best.tflite 0 --frames 300
    """
    from synet.system.steps import telling

    with telling("starting"):
        from synet.evaluation.predict import predict as run

        done = run(model, list(sources), out, **given)
    figures(done)
    drawn = f"{len(done.drawn)} drawn file{'s' * (len(done.drawn) != 1)}"
    told = f"predictions.json ({done.images} images, {done.found} results)"
    if done.kernels and done.kernels.images:
        say(str(done.kernels))
    say(f"wrote {drawn} and {told} to {done.folder}")
