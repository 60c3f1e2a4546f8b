"""The tables of ``synet profile``: every operation, or what is worst by the chip's compiler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.bar import Bar

from synet.system.terminal import NameTable
from synet.verdict.check import kib

if TYPE_CHECKING:
    from rich.table import Table

    from synet.inspection.claimed import Claimed
    from synet.inspection.profile import Profile, Row
    from synet.zoo import Claims

WORST = 8  # layers in a table of the worst
CURVE = 20  # columns of a bar


def tables(profile: Profile) -> list[Table]:
    """What there is to look at: every operation, or the worst layers by the chip's compiler."""
    if profile.compiled is None:
        return [operations(profile)]
    trades = [less_memory(profile)] if len(profile.compiled.trades) > 1 else []
    return [most_cycles(profile), most_memory(profile), *trades, figures(profile)]


def operations(profile: Profile) -> Table:
    """A row per operation, and the totals below."""
    table = NameTable(
        title=profile.model,
        show_footer=True,
        spare=("share", "output", "KiB", "operation", "MMAC"),
        wrapped=("alive KiB", "weights KiB"),
    )
    table.add_column("layer", "total")
    table.add_column("operation", str(len(profile.rows)))
    table.add_column("output")
    table.add_column("KiB", justify="right")
    table.add_column("alive KiB", _kib(profile.peak.alive_bytes), justify="right")
    table.add_column("weights KiB", _kib(profile.weight_bytes), justify="right")
    table.add_column("MMAC", f"{profile.macs / 1e6:.2f}", justify="right")
    table.add_column("share", justify="right")
    for row in profile.rows:
        table.add_row(
            row.layer,
            row.op,
            "x".join(map(str, row.shape)),
            _kib(row.bytes),
            _kib(row.alive_bytes),
            _kib(row.weight_bytes) if row.weight_bytes else "",
            f"{row.macs / 1e6:.2f}" if row.macs else "",
            f"{row.share:.1%}" if row.macs else "",
            style="bold" if row is profile.peak else None,
        )
    return table


def figures(profile: Profile) -> Table:
    """What the compiler says of the whole file."""
    compiled, chip = profile.compiled, profile.chip
    title = f"{profile.model} on {chip.title}"
    table = NameTable(title=title, show_header=False, wrapped=("",))
    most = compiled.fills.sram_bytes if compiled.fills else 0
    more = f", {_kib(most)} where it may take more" if most > compiled.sram_bytes else ""
    rows = {
        "compiler": f"Vela {compiled.version}",
        "weights": f"{kib(compiled.weight_bytes)} in {compiled.placement}",
        "SRAM": f"{kib(compiled.sram_bytes)} of {kib(chip.activations_max_bytes)}{more}",
        "cycles": f"{compiled.cycles / 1e6:.2f} M at {chip.compiler.clock_hz / 1e6:.0f} MHz",
        "time": f"{compiled.seconds * 1e3:.2f} ms, {compiled.frames_per_second:.1f} frames "
        f"a second",
        "multiply-accumulates": f"{compiled.macs / 1e6:.1f} M, {compiled.macs_per_cycle:.1f} "
        f"a cycle of {chip.compiler.macs_per_cycle}",
        "on the CPU": f"{len(compiled.on_cpu)} of {len(profile.rows)} operations",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def less_memory(profile: Profile) -> Table:
    """Less memory for more cycles, as a table and as the curve of what it costs."""
    trades = profile.compiled.trades
    most, fewest = trades[0].sram_bytes, trades[0].cycles
    table = NameTable(title="less SRAM for more cycles", spare=("SRAM", "ms"))
    for heading in ("SRAM KiB", "M cycles", "ms", "more", "arena bytes"):
        table.add_column(heading, justify="right")
    table.add_column("SRAM", width=CURVE)
    for trade in trades:
        table.add_row(
            _kib(trade.sram_bytes),
            f"{trade.cycles / 1e6:.3f}",
            f"{1e3 * trade.cycles / profile.chip.compiler.clock_hz:.2f}",
            f"{trade.cycles / max(fewest, 1) - 1:.2%}" if trade is not trades[0] else "",
            str(trade.arena_bytes),
            Bar(most, 0, trade.sram_bytes, width=CURVE),
        )
    return table


def most_cycles(profile: Profile) -> Table:
    """The layers that take most of the chip's time."""
    layers: dict[str, list[Row]] = {}
    for row in profile.rows:
        layers.setdefault(row.layer, []).append(row)
    cycles = {layer: sum(row.cycles for row in rows) for layer, rows in layers.items()}
    table = NameTable(
        *("layer", "operations"),
        title="most cycles",
        spare=("output", "MAC a cycle", "operations"),
        wrapped=("operations", "MAC a cycle"),
    )
    for heading in ("output", "k cycles", "share", "MAC a cycle"):
        table.add_column(heading, justify="right")
    for layer in _highest(cycles):
        rows, spent = layers[layer], cycles[layer]
        table.add_row(
            layer,
            ", ".join(dict.fromkeys(row.op for row in rows)),
            "x".join(map(str, rows[-1].shape)),
            f"{spent / 1e3:.0f}",
            f"{spent / max(profile.compiled.cycles, 1):.1%}",
            f"{sum(row.macs for row in rows) / max(spent, 1):.1f}",
        )
    return table


def most_memory(profile: Profile) -> Table:
    """The layers that wrote what is in memory at its fullest moment."""
    held: dict[str, int] = {}
    for each in profile.judged.fullest:
        held[each.layer] = held.get(each.layer, 0) + each.bytes
    table = NameTable("written by layer", title="most memory at the fullest moment")
    table.add_column("KiB", justify="right")
    table.add_column("share", justify="right")
    for layer in _highest(held):
        share = held[layer] / max(profile.judged.peak_bytes, 1)
        table.add_row(layer, _kib(held[layer]), f"{share:.1%}")
    return table


def claims(claimed: Claimed) -> Table:
    """What a model claims to cost: a column for each version of the compiler, if there is one."""
    chip, compiler = claimed.chip, claimed.chip.compiler
    versions = compiler.versions if compiler else ("",)
    named = [f"{compiler.name.capitalize()} {version}" for version in versions if compiler]
    table = NameTable("", *(named or [chip.title]), title=claimed.name)
    told = [claimed.claims, *(claimed.claims.by(version) for version in versions[1:])]
    for row in zip(*(_claimed(each, claimed) for each in told), strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    return table


def _claimed(claims: Claims, claimed: Claimed) -> list[tuple[str, str]]:
    chip = claimed.chip
    limit = kib(chip.activations_max_bytes)
    used = claims.sram_bytes or claims.peak_activation_bytes
    rows = [
        ("activations", f"{used / 1024:.1f} of {limit}"),
        ("multiply-accumulates", f"{claims.macs / 1e6:.1f} M"),
        ("parameters", f"{claims.parameters:,}"),
    ]
    if chip.compiler:
        milliseconds = 1e3 * claims.cycles / chip.compiler.clock_hz
        rows += [
            ("weights", f"{kib(claims.weight_bytes)} in {claims.placement}"),
            ("cycles", f"{claims.cycles / 1e6:.2f} M"),
            ("time", f"{milliseconds:.2f} ms"),
        ]
    return rows


def _highest(figures: dict[str, int]) -> Iterable[str]:
    """The names with the highest figures, the highest first."""
    return sorted(figures, key=figures.get, reverse=True)[:WORST]


def _kib(count: int) -> str:
    return f"{count / 1024:.1f}"
