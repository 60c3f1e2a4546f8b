"""``synet predict``: what a model finds, drawn and told."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.options import FRACTION, kernels_option, repo_option, say, shape_option


@click.command()
@click.argument("model")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--out",
    "out_dir",
    default="runs/predict",
    show_default=True,
    metavar="DIR",
    help="Each run makes a folder in it.",
)
@click.option(
    "--confidence", type=FRACTION, default=0.25, show_default=True, help="Lowest score to draw."
)
@click.option(
    "--iou", type=FRACTION, default=0.45, show_default=True, help="Of non-maximum suppression."
)
@click.option(
    "--side-by-side",
    "beside",
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
@kernels_option("reference")
@repo_option
def predict(model: str, sources: tuple[str, ...], **options: Any) -> None:
    """Draw and save what MODEL, .pt or .tflite, finds in each SOURCE.

    A SOURCE is an image, a video, a folder of them, a glob in quotes, or the number of a camera
    (which Ctrl-C stops).

    \b
    Example:
      synet predict best.tflite street.jpg more-images/
      synet predict best.tflite "shots/**/*.png" --side-by-side best.pt
      synet predict best.tflite 0 --frames 300
    """
    from synet.predict import predict as run

    done = run(model, list(sources), **options)
    drawn = f"{len(done.drawn)} drawn file{'s' * (len(done.drawn) != 1)}"
    told = f"predictions.json ({done.images} images, {done.found} results)"
    if done.kernels and done.kernels.images:
        say(str(done.kernels))
    say(f"wrote {drawn} and {told} to {done.folder}")
