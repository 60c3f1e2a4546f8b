"""``synet compare``: the layers in which int8 loses precision."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE, FOLDER
from synet.commands.printing import figures, say, show
from synet.system.errors import SynetError

if TYPE_CHECKING:
    from rich.table import Table

    from synet.layerwise.errors import Comparison, LayerError

MODELS = {".pt", ".tflite"}
SHOWN = 20


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="[FLOAT] INT8 IMAGE...")
@click.option("--all", "all_layers", is_flag=True, help=f"Show every layer, not the {SHOWN} worst.")
@options.out(FILE, "Write the table as .csv or .json.")
@click.option(
    "--dump", type=FOLDER, metavar="DIR", help="Write every layer's output of both, as .npy."
)
@options.maker
@options.json
def compare(
    files: tuple[str, ...], all_layers: bool, out: str | None, dump: str | None, **given: Any
) -> None:
    """Error of each layer of INT8 (.tflite) against FLOAT (.pt or .tflite), worst first.

    Its own error is what a layer adds to good inputs, the accumulated one what has come together
    in the running file. IMAGE is a file or a folder. Without FLOAT, --dump writes what INT8 has.

    \b
    Example:
      synet compare best.pt best.tflite street.jpg more-images/
      synet compare best.pt best.tflite street.jpg --dump layers
    """
    models = list(takewhile(lambda file: Path(file).suffix in MODELS, files[:2]))
    images = files[len(models) :]
    if not models:
        raise SynetError(f"{files[0]}: expected a model, .pt or .tflite, and images behind it")
    if not images:
        raise SynetError("give at least one image behind the models")
    if len(models) == 1 and not dump:
        raise SynetError(
            f"{models[0]}: compared with what? Give the float model before it, or --dump DIR"
        )
    from synet.system.steps import telling

    with telling("starting"):
        from synet.inspection.compare import compare_layers, dump_int8

        if len(models) == 1:
            dump_int8(models[0], images, dump)
            found = None
        else:
            found = compare_layers(*models, images, dump=dump, out=out, **given)
    if found:
        figures({"layers": found.records(), "outputs": found.outputs})
        show(table(found, None if all_layers else SHOWN))
        say(found.verdict())
    if dump:
        say(f"wrote every layer's output to {dump}")
    if out:
        say(f"wrote {out}")


def table(comparison: Comparison, rows: int | None = None) -> Table:
    """The layers, worst first; `rows` of them, or all."""
    from synet.layerwise.errors import decibels
    from synet.system.terminal import NameTable

    shown = comparison.worst()[:rows]
    table = NameTable(
        title="error of each layer, int8 against float",
        caption=_caption(comparison.layers, len(shown)),
        spare=("nr", "output", "\ncosine", "operation", "own,\nsteps", "as read\ndB"),
    )
    table.add_column("nr", justify="right")
    for name in ("layer", "operation", "output"):
        table.add_column(name)
    for name in ("own", "as read", "accumulated"):
        table.add_column(f"{name}\ndB", justify="right")
        if name != "as read":
            table.add_column("\ncosine", justify="right")
    table.add_column("own,\nsteps", justify="right")
    for number, error in shown:
        own, total = error.own, error.accumulated
        table.add_row(
            str(number),
            error.layer,
            error.op,
            "x".join(map(str, error.shape[1:])),
            decibels(own.sqnr_db),
            f"{own.cosine:.4f}",
            decibels(error.read.sqnr_db) if error.read else "",
            decibels(total.sqnr_db),
            f"{total.cosine:.4f}",
            f"{own.largest / error.step:.1f}" if error.step else "",
            style="dim" if error.is_faint else None,
        )
    return table


def _caption(layers: tuple[LayerError, ...], shown: int) -> str:
    left = len(layers) - shown
    faint = sum(error.is_faint for error in layers)
    words = [f"{left} more layers" if left else ""]
    if faint:
        words.append(f"last, too quiet on these images to be judged: {faint}")
    return "; ".join(filter(None, words))
