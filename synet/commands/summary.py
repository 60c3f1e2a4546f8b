"""``synet summary``: the layers of a model."""

from __future__ import annotations

import click

from synet.commands.options import (
    chip_option,
    exact_option,
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
@chip_option("Of a yaml that names none.", None)
@exact_option
@json_option
def summary(
    model: str, image_shape: tuple[int, int] | None, repo: str | None, chip: str | None, exact: bool
) -> None:
    """Layers of MODEL, with their outputs, parameters and multiply-accumulates.

    MODEL is a .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo. Of one
    that has not been built yet, the rows of its yaml and what that claims, at once.

    \b
    Example:
      synet summary katana-kqvga --exact
      synet summary runs/train/exp/weights/best.tflite
      synet summary yolov8n.yaml --image-shape 256 320
    """
    from synet.inspection.claimed import claimed, kept
    from synet.system.steps import telling
    from synet.zoo import rows_of

    told = None if exact else claimed(model, image_shape, repo)
    if told and not kept("summary", model):
        figures({"model": told.name, "claims": told.claims, "rows": rows_of(told.definition)})
        show(told.layers())
        say(told.totals())
        return

    with telling(f"reading {model}"):
        from synet.inspection.summary import summarize

        found = summarize(model, image_shape, repo, chip)
    figures(found)
    show(found.table())
    say(found.totals())
