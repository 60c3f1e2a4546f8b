"""``synet data_subset``: some classes of a data set, as a data set of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.kinds import FILE
from synet.commands.printing import figures, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from synet.data.subset import Subset


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
@options.json
def data_subset(old: str, new: str, **given: Any) -> None:
    """Make the data set NEW.yaml of the classes that it names, from OLD.yaml.

    Images are linked, labels rewritten: unwanted boxes gone, kept ones renumbered. NEW.yaml names
    classes of OLD.yaml in an order of its own, and a folder to make for each split that it wants;
    'merge: {vehicle: [car, bus]}' makes one class of several.

    \b
    Example:
      synet data_subset --max-bg-ratio 0.1 coco.yaml vehicles.yaml
    """
    from synet.data.subset import data_subset as make

    subset = make(old, new, **given)
    figures(subset)
    show(table(subset))
    if subset.skipped:
        say(f"left out {len(subset.skipped)} broken images, the first: {subset.skipped[0]}")
    images = sum(count.images for count in subset.after.values())
    folders = ", ".join(map(str, subset.folders.values()))
    if given["dry_run"]:
        say(f"dry run, nothing written: {images:,} images would go to {folders}")
    else:
        say(f"wrote {images:,} images to {folders}, class ids to {subset.class_map}")


def table(subset: Subset) -> Table:
    """Images, background and boxes of each class, in each split, before and after."""
    from synet.system.terminal import NameTable

    table = NameTable("", wrapped=("",))
    for split in subset.before:
        table.add_column(f"{split}\nbefore", justify="right")
        table.add_column("\nafter", justify="right")
    pairs = [(subset.before[split], subset.after[split]) for split in subset.before]
    for row in ("images", "background"):
        table.add_row(row, *(f"{getattr(each, row):,}" for pair in pairs for each in pair))
    table.add_section()
    for new, name in enumerate(subset.new_names):
        olds = [old for old, into in subset.classes.items() if into == new]
        merged = [subset.old_names[old] for old in olds]
        title = name if merged == [name] else f"{name} ({', '.join(merged)})"
        cells = ((sum(old.boxes[i] for i in olds), then.boxes[new]) for old, then in pairs)
        table.add_row(f"{new} {title}", *(f"{each:,}" for pair in cells for each in pair))
    left = [sum(n for i, n in old.boxes.items() if i not in subset.classes) for old, _ in pairs]
    table.add_row("other classes", *(cell for each in left for cell in (f"{each:,}", "")))
    return table
