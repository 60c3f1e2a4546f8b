"""``synet summary``: the layers of a model."""

from __future__ import annotations

import click

from synet.commands.options import (
    chip_option,
    figures,
    json_option,
    model_argument,
    repo_option,
    say,
    shape_option,
    show,
)


@click.command()
@model_argument
@shape_option
@repo_option
@chip_option("Of a yaml that names none.")
@json_option
def summary(model: str, image_shape: tuple[int, int] | None, repo: str | None, chip: str) -> None:
    """Layers of MODEL, with their outputs, parameters and multiply-accumulates.

    MODEL is a .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.

    \b
    Example:
      synet summary katana-kqvga
      synet summary runs/train/exp/weights/best.tflite
      synet summary yolov8n.yaml --image-shape 256 320
    """
    from synet.system.steps import telling

    with telling(f"reading {model}"):
        from synet.summary import summarize

        found = summarize(model, image_shape, repo, chip)
    figures(found)
    show(found.table())
    say(found.totals())
