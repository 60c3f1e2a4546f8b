"""``synet sparsity``: how many of a model's weights are zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synet.commands import options
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from synet.inspection.sparsity import Sparsity


@click.command(cls=options.Gathering)
@options.model
@click.option("-v", "--verbose", is_flag=True, help="A row for every layer, with its shape.")
@click.option(
    "--layers",
    multiple=True,
    metavar="NAME...",
    help="Only these: names, what names start with, or patterns such as '*.conv'.",
)
@options.maker
@options.chip("Of a yaml that names none.")
@options.json
def sparsity(model: str, verbose: bool, layers: tuple[str, ...], **given: str | None) -> None:
    """Share of MODEL's weights that are exactly zero, or equal to the zero point in int8.

    MODEL is a .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.

    \b
    Example:
      synet sparsity runs/train/exp/weights/best.pt
      synet sparsity best.tflite -v --layers model.4 model.6
    """
    from synet.system.steps import telling

    names = [name.strip() for given in layers for name in given.split(",")]
    with telling(f"reading {model}"):
        from synet.inspection.sparsity import sparsity as count

        found = count(model, names, **given)
    figures({"model": found.model, "total": found.total, "layers": found.layers})
    show(table(found, verbose))
    say(found.summary())


def table(sparsity: Sparsity, verbose: bool = False) -> Table:
    """A row for every type of layer, or with `verbose` for every layer."""
    from synet.inspection.summary import shown
    from synet.system.terminal import NameTable

    rows = (
        [((each.layer, each.kind, shown(each.shape)), each.counted) for each in sparsity.layers]
        if verbose
        else [((kind,), counted) for kind, counted in sparsity.kinds().items()]
    )
    names = ("layer", "type", "shape") if verbose else ("type",)
    spare = ("shape", "type", "zeros") if verbose else ()
    table = NameTable(*names, title=sparsity.model, spare=spare, wrapped=("empty channels",))
    for heading in ("weights", "zeros", "share", "empty channels"):
        table.add_column(heading, justify="right")
    for words, counted in rows:
        channels = f"{counted.empty_channels} of {counted.channels}"
        table.add_row(
            *words,
            f"{counted.weights:,}",
            f"{counted.zeros:,}",
            f"{counted.share:.1%}",
            channels if counted.channels else "",
        )
    return table
