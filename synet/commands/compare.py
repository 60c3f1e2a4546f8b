"""``synet compare``: the layers in which int8 loses precision."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import click

from synet.commands.kinds import FILE, FOLDER
from synet.commands.options import figures, json_option, out_option, repo_option, say, show
from synet.system.errors import SynetError

MODELS = {".pt", ".tflite"}
SHOWN = 20


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="[FLOAT] INT8 IMAGE...")
@click.option("--all", "all_layers", is_flag=True, help=f"Show every layer, not the {SHOWN} worst.")
@out_option(FILE, "Write the table as .csv or .json.")
@click.option(
    "--dump", type=FOLDER, metavar="DIR", help="Write every layer's output of both, as .npy."
)
@repo_option
@json_option
def compare(
    files: tuple[str, ...], all_layers: bool, out: str | None, dump: str | None, repo: str | None
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
            found = compare_layers(*models, images, repo=repo, dump=dump, out=out)
    if found:
        figures({"layers": found.records(), "outputs": found.outputs})
        show(found.table(None if all_layers else SHOWN))
        say(found.verdict())
    if dump:
        say(f"wrote every layer's output to {dump}")
    if out:
        say(f"wrote {out}")
