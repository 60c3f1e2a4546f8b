"""``synet yolov5``: YOLOv5's own modules, patched."""

from __future__ import annotations

import click

from synet.commands import options
from synet.commands.kinds import MODULE, PASSED_ON


@click.command(context_settings=options.PASS_ON)
@options.repo
@options.chip("Default: the one the yaml names.")
@options.activation
@options.teacher
@click.argument("module", type=MODULE)
@click.argument("arguments", nargs=-1, type=PASSED_ON)
def yolov5(
    repo: str | None,
    chip: str | None,
    activation: str | None,
    teacher: str | None,
    module: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a module of YOLOv5 (train, val, detect, export, segment/train, ...), patched.

    What stands behind MODULE goes to that module as it is; --cfg may name a zoo model,
    and the image size then defaults to the model's own. Options of synet stand before MODULE.

    \b
    Example:
      synet yolov5 train --cfg katana-kvga.yaml --data my.yaml --epochs 100
      synet yolov5 --teacher stock.pt train --cfg katana-kvga.yaml --data my.yaml --epochs 100
      synet yolov5 --repo ../our-yolov5 train --cfg models/yolov5n.yaml --data my.yaml
    """
    from synet.backends.yolov5 import run

    run(module, list(arguments), repo, chip, activation, teacher)
