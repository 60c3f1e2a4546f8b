"""``synet profile``: what a model costs on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synet.commands import options
from synet.commands.printing import figures, say, show
from synet.system.errors import SynetError, UnfitError

if TYPE_CHECKING:
    from synet.inspection.profile import Profile


@click.command()
@options.model
@options.chip("Default: the model's, or its camera's.")
@options.shape
@options.compiler
@options.maker
@options.exact
@options.json
def profile(
    model: str,
    chip: str | None,
    image_shape: tuple[int, int] | None,
    compiler: str,
    repo: str | None,
    cfg: str | None,
    exact: bool,
) -> None:
    """Costs of each layer, and whether the chip runs MODEL (a yaml, zoo name, .pt or .tflite).

    Of a model of the zoo that has not been built yet, what its yaml claims, at once.

    \b
    Example:
      synet profile katana-kvga.yaml
      synet profile yolov8n.yaml --chip sabre --image-shape 256 320
      synet profile sabre-detect-qvga --compiler 4.3
      synet profile runs/train/exp/weights/best.tflite
    """
    from synet.commands.profile_tables import claims, tables
    from synet.inspection.claimed import claimed, kept
    from synet.system.steps import telling

    asked = exact or chip is not None or compiler
    told = None if asked else claimed(model, image_shape, repo)
    if told and not kept("inspection", model):
        figures({"model": told.name, "claims": told.claims, "verdict": told.verdict()})
        show(claims(told))
        say(told.verdict())
        return
    with telling("starting"):
        from synet.inspection.profile import profile as measure

        found = measure(model, chip, image_shape, repo, compiler, cfg)
        arena = _arena(model)
    figures({**_told(found), "tflite_micro": arena})
    show(*tables(found))
    for violation in found.violations:
        say(f"problem: {violation}")
    if arena:
        say(arena)
    for note in found.notes:
        say(note)
    say(found.verdict())
    if found.violations:
        raise SystemExit(UnfitError.exit_status)


def _told(found: Profile) -> dict[str, Any]:
    """The figures of the tables."""
    compiled = found.compiled and {
        name: value
        for name, value in vars(found.compiled).items()
        if name not in {"costs", "moments", "on_cpu"}  # which the operations and problems tell
    }
    return {
        "model": found.model,
        "chip": found.chip and found.chip.name,
        "fits": not found.violations,
        "verdict": found.verdict(),
        "notes": found.notes,
        "problems": [str(each) for each in found.violations],
        "macs": found.macs,
        "weight_bytes": found.weight_bytes,
        "peak_activation_bytes": found.peak.alive_bytes,
        "fit": found.fit,
        "compiled": compiled,
        "operations": found.rows,
    }


def _arena(model: str) -> str:
    """What a file takes in TFLite Micro, where that is installed."""
    from synet.tflite.micro import is_installed, run_micro

    if Path(model).suffix != ".tflite" or not is_installed():
        return ""
    try:
        return str(run_micro(model))
    except SynetError as error:  # the chip's own verdict stands
        return str(error)
