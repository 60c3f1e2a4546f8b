"""``synet metrics``: how good models are on several data sets, and at which thresholds."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.options import (
    FRACTION,
    Gathering,
    kernels_option,
    repo_option,
    say,
    shape_option,
    show,
    strict_option,
)


@click.command(cls=Gathering)
@click.argument("data", nargs=-1, required=True, type=click.Path(), metavar="DATA.yaml...")
@click.option(
    "--models", multiple=True, type=click.Path(), metavar="MODEL...", help=".pt, .tflite."
)
@click.option(
    "--predictions",
    multiple=True,
    type=click.Path(),
    metavar="DIR...",
    help="In place of models: what YOLO wrote with --save-txt --save-conf, a folder for each DATA.",
)
@click.option(
    "--precisions",
    multiple=True,
    type=FRACTION,
    metavar="P...",
    help="Find the confidence at which each is reached on all data together, 0-1.",
)
@click.option(
    "--project",
    default="runs/metrics",
    show_default=True,
    metavar="OUT",
    help="Each run makes a folder in it.",
)
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@click.option(
    "--classes", multiple=True, metavar="NAME...", help="The data's names, in model order."
)
@click.option(
    "--confidence",
    default=0.25,
    show_default=True,
    type=FRACTION,
    help="Of the confusion matrix, as in YOLO.",
)
@shape_option
@kernels_option("fast")
@strict_option
@repo_option
def metrics(data: tuple[str, ...], classes: tuple[str, ...], **options: Any) -> None:
    """AP, curves, thresholds and confusion of models, on each DATA and on all together.

    Options of several values take them one after another; give DATA first.

    \b
    Example:
      synet metrics street.yaml night.yaml --models best.pt best.tflite --precisions 0.8 0.9
      synet metrics street.yaml --predictions runs/detect/exp --project runs/metrics
    """
    from synet.metrics import metrics as measure
    from synet.metrics_files import grids

    result = measure(data, classes=classes or None, **options)
    for model in result.models:
        show(*(grid.rich() for grid in grids(model, result.confidence)))
    for model in result.models:
        map50, map50_95 = model.together.mean_precision
        say(
            f"{model.model}: mAP50 {map50:.4f}, mAP50-95 {map50_95:.4f} "
            f"on {model.together.images} images of {len(model.sets)} data set"
            + ("s" if len(model.sets) > 1 else "")
            + (f", {model.kernels}" if model.kernels else "")
        )
    pictures = len(list(result.folder.rglob("*.png")))
    say(f"wrote metrics.json, metrics.csv, metrics.md and {pictures} pictures to {result.folder}")
