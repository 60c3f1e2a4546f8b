"""``synet patches``: what would be swapped in a fork."""

from __future__ import annotations

import click

from synet.commands import options
from synet.commands.kinds import FOLDER
from synet.commands.printing import say, show

EXPLAINED = {"swap": "class", "rebase": "base class", "wrap": "wrapped by"}


class Patches(click.Group):
    """A group whose `show` is meant where its first argument is none of its own words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        own = {*self.commands, *(option for p in self.get_params(ctx) for option in p.opts)}
        return super().parse_args(ctx, args if not args or args[0] in own else ["show", *args])


@click.group(cls=Patches, invoke_without_command=True)
@click.option("--repairs", is_flag=True, help="List what is put right for code of other years.")
@click.pass_context
def patches(ctx: click.Context, repairs: bool) -> None:
    """What would be swapped for what in a fork: synet patches [FORK].

    \b
    Example:
      synet patches ../our-yolov5
      synet patches --repairs
      synet patches new ../our-odd-yolo
      synet patches check ../our-yolov5
    """
    if repairs:
        _print_repairs()
    elif ctx.invoked_subcommand is None:
        ctx.invoke(patches_show)


@patches.command("show")
@click.argument("fork", required=False, type=FOLDER)
@options.chip("A chip file.", "katana", show_default=True)
def patches_show(fork: str | None, chip: str) -> None:
    """Names that are swapped in FORK, a folder (default: the installed yolov5 package).

    \b
    Example:
      synet patches show ../our-yolov5
    """
    from synet.models.forks import find_fork
    from synet.patches.process import patch_custom
    from synet.system.terminal import NameTable

    with find_fork(fork, chip) as found:
        patching = patch_custom(chip, fixed=False)
        changes = [c for c in patching.applied.changes if c.kind in EXPLAINED]
        unreached = list(patching.unreached)
    table = NameTable("name in the fork", "how", "was", "is now", spare=("how", "was"))
    for change in sorted(changes, key=lambda c: (c.kind, c.where)):
        table.add_row(change.where, EXPLAINED[change.kind], change.old, change.new)
    show(table, width=200)
    for place in unreached:
        say(f"not reached: {place} holds a class itself, not by its name")
    say(f"{found.module.__name__} in {found.root}: {len(changes)} names for {chip}")


@patches.command("check")
@click.argument("fork", type=FOLDER)
@options.chip("A chip file.", "katana", show_default=True)
def patches_check(fork: str, chip: str) -> None:
    """See whether FORK, a folder, gets along with the patch, and the patch with others.

    It is imported in fresh processes, before the patch and under it. Exit status 1 where a check
    fails.

    \b
    Example:
      synet patches check ../our-yolov5
    """
    from synet.backends.conformance import check_fork

    verdicts = check_fork(fork, chip)
    for verdict in verdicts:
        click.echo(str(verdict))
    if any(verdict.problem for verdict in verdicts):
        raise SystemExit(1)


@patches.command("new")
@click.argument("fork", type=FOLDER)
def patches_new(fork: str) -> None:
    """Write a patch for FORK, a folder in which SyNet finds nothing to swap by itself.

    \b
    Example:
      synet patches new ../our-odd-yolo
    """
    from synet.patches.write_patch import write_patch

    draft = write_patch(fork)
    for gap in draft.gaps:
        say(f"gap: {gap}")
    script = draft.script or "the training script"
    say(f"at the top of {script}: import synet_patch; synet_patch.patch('katana')")
    say(f"wrote {draft.path}, {len(draft.gaps)} gaps to fill in")


def _print_repairs() -> None:
    from synet.patches.repairs.fork_functions import FORK_REPAIRS
    from synet.patches.repairs.libraries import LIBRARY_REPAIRS, OTHER_REPAIRS
    from synet.system.terminal import NameTable

    headings = ("repair", "error that it answers", "since", "here")
    table = NameTable(*headings, wrapped=headings)
    for repair in LIBRARY_REPAIRS:
        here = "needed" if repair.needed() else "not needed"
        table.add_row(repair.name, repair.error, repair.since, here)
    for repair in (*FORK_REPAIRS, *OTHER_REPAIRS):
        table.add_row(repair.name, repair.error, repair.since, "in a fork")
    show(table, width=160)
