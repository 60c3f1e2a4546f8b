"""The command line: arguments in, one call, a result printed.

Every command imports what it needs when it runs, so that ``--help`` and completion are quick.
Exit status: 2 for the user's mistake, told in one line; 1 for ours; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

import synet
from synet.errors import SynetError
from synet.run import SETTINGS

EXPLAINED = {"swap": "class", "rebase": "base class", "wrap": "wrapped by"}
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class Commands(click.Group):
    """A group that tells a `SynetError` in one line, wherever below it is raised."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102
        try:
            return super().invoke(ctx)
        except SynetError as error:
            click.echo(f"synet: {error}", err=True)
            ctx.exit(error.exit_status)
        except (KeyboardInterrupt, click.Abort):
            click.echo("synet: interrupted", err=True)
            ctx.exit(130)


repo_option = click.option("--repo", metavar="DIR", help="Folder of the fork to use.")
shape_option = click.option(
    "--image-shape",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="H W",
    help="Height and width in pixels. Default: the model's own.",
)
data_option = click.option(
    "--data", metavar="YAML", type=click.Path(), help="Data yaml in YOLO format."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(synet.__version__, prog_name="synet")
def main() -> None:
    """Train the YOLO you have, forked or not, for a chip: patched, quantized to int8, proven.

    \b
    Example, from a data set to a checked int8 file:
      synet yolov5 train --cfg katana-kqvga.yaml --data my.yaml --epochs 100
      synet quantize --backend yolov5 --weights runs/train/exp/weights/best.pt --data my.yaml
      synet evaluate runs/train/exp/weights/best.tflite --data my.yaml

    \b
    Completion of commands and options in bash (zsh and fish alike):
      eval "$(_SYNET_COMPLETE=bash_source synet)"
    """
    os.environ.pop(SETTINGS, None)  # a command chooses its chip itself, whatever started it


@main.command(context_settings=PASS_ON)
@repo_option
@click.option("--chip", metavar="NAME", default="", help="Default: the one the yaml names.")
@click.argument("module")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def yolov5(repo: str | None, chip: str, module: str, arguments: tuple[str, ...]) -> None:
    """Run a module of YOLOv5 (train, val, detect, export, segment/train, ...), patched.

    What stands behind MODULE goes to that module as it is; --cfg may name a zoo model,
    and the image size then defaults to the model's own. Options of synet stand before MODULE.

    \b
    Example:
      synet yolov5 train --cfg katana-kvga.yaml --data my.yaml --epochs 100
      synet yolov5 --repo ../our-yolov5 train --cfg models/yolov5n.yaml --data my.yaml
    """
    from synet.backends.yolov5 import run

    run(module, list(arguments), repo, chip)


@main.command(context_settings=PASS_ON)
@repo_option
@click.option("--chip", metavar="NAME", default="", help="Default: the one the model names.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ultralytics(repo: str | None, chip: str, arguments: tuple[str, ...]) -> None:
    """Run ultralytics (train, val, predict, tune, export, ...), patched.

    ARGUMENTS go to ultralytics as they are; model= may name a zoo model, and imgsz then defaults
    to the model's own. imgsz=480,640 is height and width, in training as well. Options
    of synet stand before ARGUMENTS.

    \b
    Example:
      synet ultralytics train model=sabre-detect-qvga.yaml data=my.yaml epochs=100
      synet ultralytics train resume=True model=runs/detect/train/weights/last.pt
      synet ultralytics val model=runs/detect/train/weights/best.tflite data=my.yaml
    """
    from synet.backends.ultralytics import run

    run(list(arguments), repo, chip)


@main.command(context_settings={"allow_interspersed_args": False})
@click.option("--chip", metavar="NAME", help="Default: the one that COMMAND's --cfg names.")
@click.option("--repairs-only", is_flag=True, help="Mend old code, and leave its layers alone.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def run(chip: str | None, repairs_only: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND with every Python process that it starts patched, workers and ranks included.

    Nothing of the fork is changed. Streams, signals and exit status are COMMAND's own.
    A container, sudo and python -I hide the patch: there, run synet inside.

    \b
    Example:
      synet run --chip katana -- python train.py --cfg katana-kvga.yaml --data my.yaml
      synet run --chip katana -- torchrun --nproc_per_node 2 train.py --cfg katana-kvga.yaml
      synet run --repairs-only -- python train.py --cfg yolov5s.yaml --data my.yaml
    """
    from synet.patches.arguments import chip_of
    from synet.run import run as become

    if chip and repairs_only:
        raise SynetError("give one of --chip NAME and --repairs-only")
    become(command, None if repairs_only else chip or chip_of(command), fixed=bool(chip))


@main.command()
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
    """
    if (weights is None) == (cfg is None):
        raise SynetError("give one of --weights PT and --cfg YAML")
    from synet.backends.forks import installed
    from synet.quantize import quantize_model

    if backend and not options["repo"]:
        options["repo"] = installed(backend)
    result = quantize_model(weights or cfg, out_path=out, force=force, **options)
    click.echo(f"calibrated on {result.calibration.source}, seed {result.calibration.seed}")
    click.echo(
        f"Keras against torch: at most {result.keras.scores:.1e} (scores), "
        f"{result.keras.boxes:.1e} of the image (boxes)"
    )
    if result.int8.rows:
        click.echo(
            f"int8 against float: {result.int8.scores:.4f} (scores), {result.int8.boxes:.4f} of "
            f"the image (boxes), mean of {result.int8.rows} confident values"
        )
    else:
        click.echo("int8 against float: nothing found in the images to compare")
    for problem in result.problems:
        click.echo(f"problem: {problem}", err=True)
    click.echo(f"wrote {result.path} ({len(result.content) / 1024:.0f} KiB)")


@main.command()
@click.argument("model")
@click.option("--chip", metavar="NAME", default="", help="Default: the model's own, else katana.")
@shape_option
@repo_option
def profile(model: str, chip: str, image_shape: tuple[int, int] | None, repo: str | None) -> None:
    """Costs of each layer, and whether the chip runs MODEL (a yaml, zoo name, .pt or .tflite).

    \b
    Example:
      synet profile katana-kvga.yaml
      synet profile yolov8n.yaml --chip sabre --image-shape 256 320
      synet profile runs/train/exp/weights/best.tflite
    """
    from rich.console import Console

    from synet.profile import profile as measure

    found = measure(model, chip, image_shape, repo)
    Console(width=None if sys.stdout.isatty() else 120).print(*found.tables())
    for violation in found.violations:
        click.echo(f"problem: {violation}")
    click.echo(found.verdict())
    if found.violations:
        sys.exit(1)


@main.command()
@click.argument("model")
@data_option
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@shape_option
@click.option("--classes", multiple=True, metavar="NAME", help="The data's names, in model order.")
@click.option("--float", "float_model", metavar="PT", help="Default: the .pt beside a .tflite.")
@repo_option
def evaluate(model: str, data: str | None, classes: tuple[str, ...], **options: Any) -> None:
    """mAP50 and mAP50-95 of MODEL, .pt or .tflite, on the same letterboxed images.

    Of an int8 file, also how far its scores shifted from those of the float model.

    \b
    Example:
      synet evaluate runs/train/exp/weights/best.tflite --data my.yaml
    """
    if data is None:
        raise SynetError("give the data set: --data YAML")
    from rich.console import Console

    from synet.evaluate import evaluate as measure

    report = measure(model, data, classes=classes or None, **options)
    Console(width=None if sys.stdout.isatty() else 120).print(report.table())
    click.echo(
        f"{model}: mAP50 {report.map50:.4f}, mAP50-95 {report.map50_95:.4f} "
        f"on {report.images} images of the {report.split} split"
        + (f", {report.shift}" if report.shift else "")
    )


@main.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out",
    "out_dir",
    default="runs/predict",
    show_default=True,
    metavar="DIR",
    help="Each run makes a folder in it.",
)
@click.option("--confidence", default=0.25, show_default=True, help="Lowest score to draw.")
@click.option("--iou", default=0.45, show_default=True, help="Of non-maximum suppression.")
@shape_option
@repo_option
def predict(model: str, images: tuple[str, ...], **options: Any) -> None:
    """Draw what MODEL, .pt or .tflite, finds in IMAGES (files or folders).

    \b
    Example:
      synet predict best.tflite street.jpg more-images/
    """
    from synet.predict import predict as draw

    saved = draw(model, list(images), **options)
    click.echo(f"wrote {len(saved)} drawn images to {saved[0].parent}")


@main.group()
def zoo() -> None:
    """The models that come with SyNet."""


@zoo.command("list")
def zoo_list() -> None:
    """Names, image shapes, tasks and costs, as far as the chip's compiler is public.

    \b
    Example:
      synet zoo list
    """
    from synet import zoo as models
    from synet.chips import get_chip

    click.echo(
        f"{'name':20} {'chip':6} {'image':>7} {'task':8} {'parameters':>10} {'MMAC':>6} "
        f"{'SRAM KiB':>8} {'weights KiB':>11} {'Mcycles':>7} {'ms':>5}"
    )
    for name in models.names():
        path = models.model_path(name)
        definition = models.read_definition(path)
        claims = models.claims(definition, path)
        image = "x".join(str(n) for n in claims.image_shape or ())
        sram = (claims.sram_bytes or claims.peak_activation_bytes) / 1024
        line = (
            f"{name:20} {claims.chip or '':6} {image:>7} {models.task(definition):8} "
            f"{claims.parameters:>10,} {claims.macs / 1e6:>6.0f} {sram:>8.0f}"
        )
        if claims.cycles:
            compiler = get_chip(claims.chip).compiler
            line += (
                f" {claims.weight_bytes / 1024:>11.0f} {claims.cycles / 1e6:>7.2f} "
                f"{1e3 * claims.cycles / compiler.clock_hz:>5.1f}"
            )
        click.echo(f"{line:<97}")


@zoo.command("show")
@click.argument("name")
def zoo_show(name: str) -> None:
    """Print the yaml of a model.

    \b
    Example:
      synet zoo show katana-kqvga > ours.yaml
    """
    from synet import zoo as models

    click.echo(models.model_path(name).read_text(encoding="utf-8"), nl=False)


class Patches(click.Group):
    """A group whose `show` is meant where its first argument is none of its own words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        own = {*self.commands, *(option for p in self.get_params(ctx) for option in p.opts)}
        return super().parse_args(ctx, args if not args or args[0] in own else ["show", *args])


@main.group(cls=Patches, invoke_without_command=True)
@click.option("--repairs", is_flag=True, help="List what is put right for code of other years.")
@click.pass_context
def patches(ctx: click.Context, repairs: bool) -> None:
    """What would be swapped for what in a fork: synet patches [FORK].

    \b
    Example:
      synet patches ../our-yolov5
      synet patches --repairs
      synet patches new ../our-odd-yolo
    """
    if repairs:
        _print_repairs()
    elif ctx.invoked_subcommand is None:
        ctx.invoke(patches_show)


@patches.command("show")
@click.argument("fork", required=False)
@click.option("--chip", metavar="NAME", default="katana", show_default=True, help="A chip file.")
def patches_show(fork: str | None, chip: str) -> None:
    """Names that are swapped in FORK, a folder (default: the installed yolov5 package).

    \b
    Example:
      synet patches show ../our-yolov5
    """
    from rich.console import Console
    from rich.table import Table

    from synet.backends.forks import find_fork
    from synet.custom_patches import patch_custom, unpatch

    found = find_fork(fork, chip)
    patching = patch_custom(chip)
    changes = [c for c in patching.applied.changes if c.kind in EXPLAINED]
    unreached = list(patching.unreached)
    unpatch()
    table = Table("name in the fork", "", "was", "is now")
    for change in sorted(changes, key=lambda c: (c.kind, c.where)):
        table.add_row(change.where, EXPLAINED[change.kind], change.old, change.new)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for place in unreached:
        click.echo(f"not reached: {place} holds a class itself, not by its name")
    click.echo(f"{found.builder.__name__} in {found.root}: {len(changes)} names for {chip}")


@patches.command("new")
@click.argument("fork")
def patches_new(fork: str) -> None:
    """Write a patch for FORK, a folder in which SyNet finds nothing to swap by itself.

    \b
    Example:
      synet patches new ../our-odd-yolo
    """
    from synet.patches.new import write_patch

    draft = write_patch(fork)
    for gap in draft.gaps:
        click.echo(f"gap: {gap}")
    script = draft.script or "the training script"
    click.echo(f"at the top of {script}: import synet_patch; synet_patch.patch('katana')")
    click.echo(f"wrote {draft.path}, {len(draft.gaps)} gaps to fill in")


def _print_repairs() -> None:
    from rich.console import Console
    from rich.table import Table

    from synet.patches.compat import LIBRARY_REPAIRS, OTHER_REPAIRS
    from synet.patches.fork_repairs import FORK_REPAIRS

    table = Table("repair", "error that it answers", "since", "here")
    for repair in LIBRARY_REPAIRS:
        here = "needed" if repair.needed() else "not needed"
        table.add_row(repair.name, repair.error, repair.since, here)
    for repair in (*FORK_REPAIRS, *OTHER_REPAIRS):
        table.add_row(repair.name, repair.error, repair.since, "in a fork")
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@main.command()
@click.option(
    "--out", default="runs/demo", show_default=True, metavar="DIR", help="Folder for all of it."
)
def demo(out: str) -> None:
    """The whole way on drawn images: train, quantize, evaluate, check, look. About 4 minutes.

    \b
    Example:
      synet demo
    """
    from synet.demo import run_demo

    run_demo(Path(out))
