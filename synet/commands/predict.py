"""``synet predict``: what a model finds, drawn."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.options import repo_option, shape_option


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out",
    "out_dir",
    default="runs/predict",
    show_default=True,
    metavar="DIR",
    help="Each run makes a folder in it.",
)
@click.option("--confidence", default=0.25, show_default=True, help="Lowest score to draw.")
@click.option("--iou", default=0.45, show_default=True, help="Of non-maximum suppression.")
@shape_option
@repo_option
def predict(model: str, images: tuple[str, ...], **options: Any) -> None:
    """Draw what MODEL, .pt or .tflite, finds in IMAGES (files or folders).

    \b
    Example:
      synet predict best.tflite street.jpg more-images/
    """
    from synet.predict import predict as draw

    saved = draw(model, list(images), **options)
    click.echo(f"wrote {len(saved)} drawn images to {saved[0].parent}")
