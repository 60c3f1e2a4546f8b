"""``synet summary``: the layers of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synet.commands import options
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from synet.inspection.claimed import Claimed
    from synet.inspection.summary import Summary


@click.command()
@options.model
@options.shape
@options.maker
@options.chip("Of a yaml that names none.")
@options.exact
@options.json
def summary(
    model: str,
    image_shape: tuple[int, int] | None,
    repo: str | None,
    cfg: str | None,
    chip: str | None,
    exact: bool,
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
        show(claimed_table(told))
        say(told.totals())
        return

    with telling(f"reading {model}"):
        from synet.inspection.summary import summarize

        found = summarize(model, image_shape, repo, chip, cfg)
    figures(found)
    show(table(found))
    say(found.totals())


def table(summary: Summary) -> Table:
    """A row a layer."""
    from synet.inspection.summary import shown
    from synet.system.terminal import NameTable

    output = f"output ({summary.layout})"
    table = NameTable(title=summary.model, spare=("nr", "type", output))
    table.add_column("nr", justify="right")
    for heading in ("layer", "type", output):
        table.add_column(heading)
    for heading in ("parameters", "MMAC"):
        table.add_column(heading, justify="right")
    for number, layer in enumerate(summary.layers):
        table.add_row(
            str(number),
            layer.name,
            layer.kind,
            shown(layer.shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            "?" if layer.macs is None else f"{layer.macs / 1e6:.2f}" if layer.macs else "",
        )
    return table


def claimed_table(claimed: Claimed) -> Table:
    """The rows of the yaml of a model of the zoo."""
    from synet.system.terminal import NameTable
    from synet.zoo import rows_of

    table = NameTable(title=claimed.name, wrapped=("arguments",))
    for heading in ("", "from", "times"):
        table.add_column(heading, justify="right")
    for heading in ("layer", "arguments"):
        table.add_column(heading)
    for number, (source, times, layer, arguments) in enumerate(rows_of(claimed.definition)):
        told = ", ".join(map(str, arguments))
        table.add_row(str(number), str(source), str(times), str(layer), told)
    return table
