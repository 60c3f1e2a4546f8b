"""``synet evaluate``: mAP of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.printing import figures, say, show
from synet.system.errors import SynetError

if TYPE_CHECKING:
    from rich.table import Table

    from synet.evaluation.evaluate import Report


@click.command(cls=options.Gathering)
@options.model
@options.data
@options.split
@options.shape
@options.confidence(0.001, "Lowest score that counts.")
@options.iou(0.6)
@options.classes
@options.float_model
@options.on_data
def evaluate(model: str, data: str | None, classes: tuple[str, ...], **given: Any) -> None:
    """mAP50 and mAP50-95 of MODEL, .pt or .tflite, on the same letterboxed images.

    Of an int8 file, also how far its scores shifted from those of the float model.

    \b
    Example:
      synet evaluate runs/train/exp/weights/best.tflite --data my.yaml
    """
    if data is None:
        raise SynetError("give the data set: --data YAML")
    from synet.system.steps import telling

    with telling("starting"):
        from synet.evaluation.evaluate import evaluate as measure

        report = measure(model, data, classes=classes or None, **given)
    figures(report)
    show(table(report))
    say(
        f"{model}: mAP50 {report.map50:.4f}, mAP50-95 {report.map50_95:.4f} "
        f"on {report.images} images of the {report.split} split"
        + _without(report)
        + (f", {report.kernels}" if report.kernels else "")
        + (f", {report.shift}" if report.shift else "")
    )


def table(report: Report) -> Table:
    """A row for each class, and the means below."""
    from synet.system.terminal import NameTable

    height, width = report.image_shape
    table = NameTable(
        title=f"{report.model} on {report.split} of {report.data}",
        caption=f"{report.images} images{_without(report)}, {report.boxes} boxes, "
        f"{height}x{width}, {1000 * report.seconds / report.images:.0f} ms an image"
        + (f"\n{report.shift}" if report.shift else ""),
        show_footer=True,
    )
    table.add_column("class", "all")
    table.add_column("mAP50", f"{report.map50:.3f}", justify="right")
    table.add_column("mAP50-95", f"{report.map50_95:.3f}", justify="right")
    for name, (ap50, ap50_95) in report.per_class.items():
        table.add_row(name, f"{ap50:.3f}", f"{ap50_95:.3f}")
    return table


def _without(report: Report) -> str:
    return f" ({report.left_out} left out)" if report.left_out else ""
