"""``synet predict``: what a model finds, drawn and told."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.kinds import FILE, FOLDER, MODEL
from synet.commands.options import (
    batch_option,
    confidence_option,
    device_option,
    figures,
    iou_option,
    json_option,
    kernels_option,
    model_argument,
    out_option,
    repo_option,
    say,
    shape_option,
)


@click.command()
@model_argument
@click.argument("sources", nargs=-1, required=True, type=FILE, metavar="SOURCE...")
@out_option(FOLDER, "Each run makes a folder in it.", default="runs/predict")
@confidence_option(0.25, "Lowest score to draw.")
@iou_option(0.45)
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
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="Of each video or camera, at most N."
)
@shape_option
@device_option
@batch_option
@kernels_option("reference")
@repo_option
@json_option
def predict(model: str, sources: tuple[str, ...], out: str, **options: Any) -> None:
    """Draw and save what MODEL, .pt or .tflite, finds in each SOURCE.

    A SOURCE is an image, a video, a folder of them, a glob in quotes, or the number of a camera
    (which Ctrl-C stops).

    \b
    Example:
      synet predict best.tflite street.jpg more-images/
      synet predict best.tflite "shots/**/*.png" --side-by-side best.pt
      synet predict best.tflite 0 --frames 300
    """
    from synet.evaluation.predict import predict as run
    from synet.system.steps import telling

    with telling("starting"):
        from synet.evaluation.predict import predict as run

        done = run(model, list(sources), out, **options)
    figures(done)
    drawn = f"{len(done.drawn)} drawn file{'s' * (len(done.drawn) != 1)}"
    told = f"predictions.json ({done.images} images, {done.found} results)"
    if done.kernels and done.kernels.images:
        say(str(done.kernels))
    say(f"wrote {drawn} and {told} to {done.folder}")
