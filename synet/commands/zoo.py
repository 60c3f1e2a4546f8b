"""``synet zoo``: the models that come with SyNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE, MODEL, ZOO
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from synet.zoo import Claims

# Headings of what a model costs; the last three are known where the chip's compiler is public.
COSTS = ("parameters", "MMAC", "SRAM KiB", "weights KiB", "Mcycles", "ms")
SPARE = ("Mcycles", "chip", "MMAC", "parameters")  # without room for them


@click.group()
def zoo() -> None:
    """The models that come with SyNet."""


@zoo.command("list")
@options.json
def zoo_list() -> None:
    """Names, image shapes, tasks and costs, as far as the chip's compiler is public.

    \b
    Example:
      synet zoo list
    """
    from synet import zoo as models
    from synet.system.terminal import NameTable

    table = NameTable(*("name", "chip", "image", "task"), spare=SPARE, box=None, pad_edge=False)
    for heading in COSTS:
        table.add_column(heading, justify="right")
    found = []
    for name in models.names():
        path = models.model_path(name)
        definition = models.read_definition(path)
        claims = models.claims(definition, path)
        claimed = {key: value or None for key, value in vars(claims).items()}
        found.append({"name": name, "task": models.task(definition), **claimed})
        image = "x".join(str(n) for n in claims.image_shape or ())
        table.add_row(name, claims.chip, image, models.task(definition), *_costs(claims))
    figures(found)
    show(table)


@zoo.command("show")
@click.argument("name", type=ZOO)
def zoo_show(name: str) -> None:
    """Print the yaml of a model.

    \b
    Example:
      synet zoo show katana-kqvga > ours.yaml
    """
    from synet import zoo as models
    from synet.system.text import printable_lines
    from synet.system.yaml_files import read_text

    path = models.model_path(name)
    text = read_text(path, errors="strict")
    models.read_definition(path)
    click.echo(printable_lines(text), nl=False)


@zoo.command("create")
@click.argument("model", metavar="NAME", type=MODEL)
@click.option("--width", type=float, metavar="W", help="width_multiple: share of all channels.")
@click.option("--depth", type=float, metavar="D", help="depth_multiple: share of repetitions.")
@click.option("--nc", type=int, metavar="N", help="Number of classes.")
@click.option(
    "--image-shape",
    "--imgsz",
    "--image-size",
    "image_shape",
    nargs=2,
    type=int,
    metavar="H W",
    help="Height and width in pixels.",
)
@click.option("--channels", type=click.Choice(["1", "3"]), help="Of the image: gray or colour.")
@options.out(FILE, "Default: ./NAME-CHANGES.yaml")
@click.option("--force", is_flag=True, help="Write it even where the chip cannot run it.")
@options.repo
@options.json
def zoo_create(
    model: str, channels: str | None, out: str | None, repo: str | None, force: bool, **given: Any
) -> None:
    """Write a changed copy of a model, a name of the zoo or a yaml of your own, to train.

    It is built, and what it claims of itself is counted anew. Nothing is written over.

    \b
    Example:
      synet zoo create katana-kqvga --width 0.5 --nc 3
      synet zoo create sabre-detect-vga --imgsz 384 512 -o ours.yaml
    """
    from synet.inspection.zoo_create import Changes, create
    from synet.system.steps import telling
    from synet.system.terminal import NameTable

    changes = Changes(**given, channels=int(channels) if channels else None)
    with telling("building, and counting what it costs"):
        made = create(model, changes, out, repo=repo, force=force)
    figures({"path": made.path, "before": made.before, "after": made.after})
    table = NameTable("", "image", *COSTS, spare=SPARE, box=None, pad_edge=False)
    for name, claims in (("before", made.before), ("after", made.after)):
        table.add_row(name, "x".join(map(str, claims.image_shape)), *_costs(claims))
    for column in table.columns[2:]:
        column.justify = "right"
    show(table)
    for violation in made.profile.violations:
        say(f"problem: {violation}", err=True)
    say(made.profile.verdict())
    say(f"wrote {made.path}")


def _costs(claims: Claims) -> list[str]:
    """What stands below `COSTS`: a dash for what is not claimed."""
    from synet.chips import get_chip

    compiler = get_chip(claims.chip).compiler if claims.chip else None
    costs = (
        (claims.parameters, ","),
        (claims.macs / 1e6, ".0f"),
        ((claims.sram_bytes or claims.peak_activation_bytes) / 1024, ".0f"),
        (claims.weight_bytes / 1024, ".0f"),
        (claims.cycles / 1e6, ".2f"),
        (1e3 * claims.cycles / compiler.clock_hz if compiler else 0, ".1f"),
    )
    return [format(value, form) if value else "-" for value, form in costs]
