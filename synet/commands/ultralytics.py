"""``synet ultralytics``: today's ultralytics, patched."""

from __future__ import annotations

import click

from synet.commands import options
from synet.commands.kinds import PASSED_ON


@click.command(context_settings=options.PASS_ON)
@options.repo
@options.chip("Default: the one the model names.")
@options.activation
@options.teacher
@click.argument("arguments", nargs=-1, type=PASSED_ON)
def ultralytics(
    repo: str | None,
    chip: str | None,
    activation: str | None,
    teacher: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run ultralytics (train, val, predict, tune, export, ...), patched.

    ARGUMENTS go to ultralytics as they are; model= may name a zoo model, and imgsz then defaults
    to the model's own. imgsz=480,640 is height and width, in training as well. Options
    of synet stand before ARGUMENTS.

    \b
    Example:
      synet ultralytics train model=sabre-detect-qvga.yaml data=my.yaml epochs=100
      synet ultralytics --activation silu train model=yolov8n.pt data=my.yaml
      synet ultralytics train resume=True model=runs/detect/train/weights/last.pt
      synet ultralytics --teacher yolov8s-cells.pt train model=sabre-detect-qvga.yaml data=my.yaml
      synet ultralytics val model=runs/detect/train/weights/best.tflite data=my.yaml
    """
    from synet.backends.ultralytics import run

    run(list(arguments), repo, chip, activation, teacher)
