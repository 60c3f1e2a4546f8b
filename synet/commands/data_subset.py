"""``synet data_subset``: some classes of a data set, as a data set of their own."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.kinds import FILE
from synet.commands.options import figures, json_option, say, show


@click.command("data_subset")
@click.argument("old", type=FILE, metavar="OLD.yaml")
@click.argument("new", type=FILE, metavar="NEW.yaml")
@click.option(
    "--max-bg-ratio",
    type=float,
    default=1.0,
    show_default=True,
    metavar="R",
    help="At most this part of each split is images without a box, 0 to 1.",
)
@click.option("--seed", default=0, show_default=True, help="Of the choice of those images.")
@click.option("--copy", is_flag=True, help="Copy images; do not link them.")
@click.option("--skip-bad", is_flag=True, help="Leave out images whose labels are broken.")
@click.option("--dry-run", is_flag=True, help="Print the table only.")
@json_option
def data_subset(old: str, new: str, **options: Any) -> None:
    """Make the data set NEW.yaml of the classes that it names, from OLD.yaml.

    Images are linked, labels rewritten: unwanted boxes gone, kept ones renumbered. NEW.yaml names
    classes of OLD.yaml in an order of its own, and a folder to make for each split that it wants;
    'merge: {vehicle: [car, bus]}' makes one class of several.

    \b
    Example:
      synet data_subset --max-bg-ratio 0.1 coco.yaml vehicles.yaml
    """
    from synet.data.subset import data_subset as make

    subset = make(old, new, **options)
    figures(subset)
    show(subset.table())
    if subset.skipped:
        say(f"left out {len(subset.skipped)} broken images, the first: {subset.skipped[0]}")
    images = sum(count.images for count in subset.after.values())
    folders = ", ".join(map(str, subset.folders.values()))
    if options["dry_run"]:
        say(f"dry run, nothing written: {images:,} images would go to {folders}")
    else:
        say(f"wrote {images:,} images to {folders}, class ids to {subset.class_map}")
