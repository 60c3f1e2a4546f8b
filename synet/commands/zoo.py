"""``synet zoo``: the models that come with SyNet."""

from __future__ import annotations

import click


@click.group()
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
