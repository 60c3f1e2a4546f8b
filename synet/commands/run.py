"""``synet run``: any command, with every Python that it starts patched."""

from __future__ import annotations

import click

from synet.commands import options
from synet.commands.kinds import PASSED_ON
from synet.system.errors import SynetError


@click.command(context_settings={"allow_interspersed_args": False})
@options.chip("Default: the one that COMMAND's --cfg names.")
@options.activation
@click.option("--repairs-only", is_flag=True, help="Mend old code, and leave its layers alone.")
@options.teacher
@click.argument("command", nargs=-1, required=True, type=PASSED_ON, metavar="COMMAND...")
def run(
    chip: str | None,
    activation: str | None,
    repairs_only: bool,
    teacher: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with every Python process that it starts patched, workers and ranks included.

    Nothing of the fork is changed. Streams, signals and exit status are COMMAND's own.
    A container, sudo and python -I hide the patch: there, run synet inside.

    \b
    Example:
      synet run --chip katana -- python train.py --cfg katana-kvga.yaml --data my.yaml
      synet run --chip katana -- torchrun --nproc_per_node 2 train.py --cfg katana-kvga.yaml
      synet run --teacher stock.pt -- python train.py --cfg katana-kqvga.yaml --data my.yaml
      synet run --repairs-only -- python train.py --cfg yolov5s.yaml --data my.yaml
    """
    from synet.patches.child_processes import become
    from synet.patches.command_line import chip_of
    from synet.patches.target import REPAIRS_ALONE, only_or_own

    if repairs_only and (chip is not None or activation is not None):
        raise SynetError("give --repairs-only alone, or --chip NAME and --activation NAME")
    taught_by = None
    if teacher is not None:
        from synet.patches.teacher import checked

        taught_by = checked(teacher)
    target = REPAIRS_ALONE if repairs_only else only_or_own(chip, chip_of(command), activation)
    become(command, target, taught_by)
