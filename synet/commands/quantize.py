"""``synet quantize``: a checked int8 file of a model."""

from __future__ import annotations

from typing import Any

import click

from synet.commands.options import data_option, repo_option, say, shape_option, strict_option
from synet.errors import SynetError


@click.command()
@click.option(
    "--backend",
    type=click.Choice(["yolov5", "ultralytics"]),
    help="The installed YOLO, where no --repo is given. Default: the one that the weights name.",
)
@click.option("--weights", metavar="PT", help="A trained checkpoint.")
@click.option("--cfg", metavar="YAML", help="Instead of --weights: an untrained model of the zoo.")
@data_option
@shape_option
@click.option("--number", default=500, show_default=True, help="Calibration images at most.")
@click.option("--seed", default=0, show_default=True, help="Of the choice of images.")
@click.option("--out", metavar="PATH", help="Default: beside the weights, or ./model.tflite.")
@click.option("--chip", metavar="NAME", default="", help="Default: the one it was trained for.")
@click.option("--force", is_flag=True, help="Keep the file even if it misses a bar.")
@click.option(
    "--dump-layers",
    nargs=2,
    metavar="IMAGE DIR",
    help="Write what every layer makes of an image, in float and in int8, as .npy.",
)
@strict_option
@repo_option
def quantize(
    backend: str | None,
    weights: str | None,
    cfg: str | None,
    out: str | None,
    force: bool,
    **options: Any,
) -> None:
    """Export a model to an int8 TFLite file, and prove that it does what the float model did.

    \b
    Example:
      synet quantize --backend yolov5 --weights runs/train/exp/weights/best.pt --data my.yaml
      synet quantize --cfg katana-kqvga.yaml
      synet quantize --weights best.pt --data my.yaml --dump-layers street.jpg layers
    """
    if (weights is None) == (cfg is None):
        raise SynetError("give one of --weights PT and --cfg YAML")
    from synet.backends.forks import installed
    from synet.quantize import quantize_model

    if backend and not options["repo"]:
        options["repo"] = installed(backend)
    result = quantize_model(weights or cfg, out_path=out, force=force, **options)
    say(f"calibrated on {result.calibration.source}, seed {result.calibration.seed}")
    say(
        f"Keras against torch: at most {result.keras.scores:.1e} (scores), "
        f"{result.keras.boxes:.1e} of the image (boxes)"
    )
    if result.int8.rows:
        say(
            f"int8 against float: {result.int8.scores:.4f} (scores), {result.int8.boxes:.4f} of "
            f"the image (boxes), mean of {result.int8.rows} confident values"
        )
    else:
        say("int8 against float: nothing found in the images to compare")
    for problem in result.problems:
        say(f"problem: {problem}", err=True)
    if result.layers:
        say(f"wrote every layer's output to {options['dump_layers'][1]}")
        say(result.layers.verdict())
    say(f"wrote {result.path} ({len(result.content) / 1024:.0f} KiB)")
