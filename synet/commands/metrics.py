"""``synet metrics``: how good models are on several data sets, and at which thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE, FOLDER, FRACTION, MODEL
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from synet.evaluation.metrics_files import Grid


@click.command(cls=options.Gathering)
@click.argument("data", nargs=-1, type=FILE, metavar="DATA.yaml...")
@click.option("--data", "more", multiple=True, type=FILE, metavar="YAML...", help="More DATA.")
@click.option("--models", multiple=True, type=MODEL, metavar="MODEL...", help=".pt, .tflite.")
@click.option(
    "--predictions",
    multiple=True,
    type=FOLDER,
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
@options.out(FOLDER, "Each run makes a folder in it.", "--project", default="runs/metrics")
@options.split
@options.classes
@options.confidence(0.25, "Of the confusion matrix, as in YOLO.")
@options.shape
@options.on_data
def metrics(
    data: tuple[str, ...],
    more: tuple[str, ...],
    out: str,
    classes: tuple[str, ...],
    **given: Any,
) -> None:
    """AP, curves, thresholds and confusion of models, on each DATA and on all together.

    Options of several values take them one after another; give DATA first.

    \b
    Example:
      synet metrics street.yaml night.yaml --models best.pt best.tflite --precisions 0.8 0.9
      synet metrics street.yaml --predictions runs/detect/exp --out runs/metrics
    """
    from synet.system.steps import telling

    with telling("starting"):
        from synet.evaluation.metrics import metrics as measure
        from synet.evaluation.metrics_files import as_json, grids

        result = measure((*data, *more), project=out, classes=classes or None, **given)
    figures({**as_json(result), "folder": result.folder})
    for model in result.models:
        show(*(table(grid) for grid in grids(model, result.confidence)))
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


def table(grid: Grid) -> Table:
    """A grid for a terminal."""
    from rich.text import Text

    from synet.system.terminal import NameTable

    table = NameTable(title=Text(grid.title), caption=Text(grid.caption), spare=grid.spare)
    for number, name in enumerate(grid.header):
        side = "left" if number < grid.names else "right"
        table.add_column(Text(name), justify=side)
    for group in grid.groups:
        for row in group:
            table.add_row(*map(Text, row))  # Text: a class may be called [red]
        table.add_section()
    return table
