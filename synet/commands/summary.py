"""``synet summary``: the layers of a model."""

from __future__ import annotations

import click

from synet.commands.options import repo_option, say, shape_option, show


@click.command()
@click.argument("model")
@shape_option
@repo_option
@click.option("--chip", metavar="NAME", default="", help="Of a yaml that names none.")
def summary(model: str, image_shape: tuple[int, int] | None, repo: str | None, chip: str) -> None:
    """Layers of MODEL, with their outputs, parameters and multiply-accumulates.

    MODEL is a .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.

    \b
    Example:
      synet summary katana-kqvga
      synet summary runs/train/exp/weights/best.tflite
      synet summary yolov8n.yaml --image-shape 256 320
    """
    from synet.summary import summarize

    found = summarize(model, image_shape, repo, chip)
    show(found.table())
    say(found.totals())
