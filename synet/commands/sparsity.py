"""``synet sparsity``: how many of a model's weights are zero."""

from __future__ import annotations

import click

from synet.commands.options import repo_option, say, show


@click.command()
@click.argument("model")
@click.option("-v", "--verbose", is_flag=True, help="A row for every layer, with its shape.")
@click.option(
    "--layers",
    metavar="A,B",
    default="",
    help="Only these: names, what names start with, or patterns such as '*.conv'.",
)
@repo_option
@click.option("--chip", metavar="NAME", default="", help="Of a yaml that names none.")
def sparsity(model: str, verbose: bool, layers: str, repo: str | None, chip: str) -> None:
    """Share of MODEL's weights that are exactly zero, or equal to the zero point in int8.

    MODEL is a .pt, .keras, .tflite or .onnx file, a model yaml or a name from the zoo.

    \b
    Example:
      synet sparsity runs/train/exp/weights/best.pt
      synet sparsity best.tflite -v --layers model.4,model.6
    """
    from synet.sparsity import sparsity as count

    found = count(model, [name.strip() for name in layers.split(",")], repo, chip)
    show(found.table(verbose))
    say(found.summary())
