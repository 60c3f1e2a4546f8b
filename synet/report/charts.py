"""The charts of a report, as plotly figures of the light theme.

The page replaces each colour by its dark twin where the reader prefers a dark page. Text that a
figure shows may hold tags, as plotly has it, so all that comes from a file is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.evaluation.curves import RECALLS
from synet.report.sections import Accuracy, LayerCost, Trade, short_names
from synet.system import optional_packages

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from synet.chips import Chip
    from synet.inspection.compare import Comparison

# By what they stand for: on white, and on black. Float and int8 are near Okabe and Ito's blue and
# vermilion, which people with any colour vision can tell apart, and dark enough for small text.
COLOURS = {
    "ink": ("#1d2733", "#e6ebf1"),
    "quiet": ("#5b6877", "#9dabba"),
    "grid": ("#e3e8ee", "#2b3542"),
    "paper": ("#ffffff", "#161c24"),
    "float": ("#0072b2", "#56b4e9"),
    "int8": ("#b84f00", "#f5934a"),
    "bar": ("#9db1c6", "#5d7590"),
    "peak": ("#274b73", "#c4dcf7"),
    "own": ("#6a4fa3", "#b9a3f0"),
    "accumulated": ("#00846b", "#37c2a0"),
    "limit": ("#9b1c31", "#ff8fa0"),
    "bad-ground": ("#fdf3f4", "#2a1a20"),
    "good": ("#1c7044", "#5fd098"),
    "good-ground": ("#f1f9f4", "#15261e"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
KIB = 1024
EXACT_DB = 80  # that int8 does not come to, unless a layer only moves what it is given
LAYERS = {"type": "category", "tickangle": -60, "nticks": 24}  # an axis of many names


def memory(layers: Sequence[LayerCost], peak_bytes: int, chip: Chip) -> Figure:
    """Activations in memory over the layers, the fullest marked, and the chip's limit as a line."""
    limit = chip.activations_max_bytes
    layers = [layer for layer in layers if layer.alive_bytes] or layers
    fullest = max(range(len(layers)), key=lambda at: layers[at].alive_bytes)
    colours = [LIGHT["peak" if at == fullest else "bar"] for at in range(len(layers))]
    figure = _bars(
        layers,
        [layer.alive_bytes / KIB for layer in layers],
        colours,
        "%{y:,.1f} KiB in memory",
        "activations in memory, KiB",
    )
    peak = layers[fullest].alive_bytes / KIB
    top = max(limit / KIB, peak)
    near_limit = 0.8 * limit / KIB < peak <= limit / KIB
    on_the_right = fullest > len(layers) / 2
    figure.add_annotation(
        x=escape(layers[fullest].short),
        y=peak,
        text=f"<b>peak {peak_bytes / KIB:,.1f} KiB</b>",
        font={"color": LIGHT["peak"]},
        showarrow=True,
        arrowcolor=LIGHT["peak"],
        arrowwidth=1,
        arrowhead=0,
        ax=-24 if on_the_right else 24,
        ayref="y",
        ay=1.08 * top if near_limit else peak + 0.08 * top,  # not across the line of the limit
        xanchor="right" if on_the_right else "left",
    )
    figure.add_hline(
        limit / KIB,
        line={"color": LIGHT["limit"], "dash": "dash", "width": 1.5},
        annotation={
            "text": f"{escape(chip.name.capitalize())}'s limit, {limit / KIB:,.0f} KiB",
            "font": {"color": LIGHT["limit"]},
        },
        annotation_position="top left" if on_the_right else "top right",
    )
    figure.update_yaxes(range=[0, 1.16 * top])
    return figure


def cost(layers: Sequence[LayerCost]) -> Figure:
    """Cycles of each layer that takes some, or multiply-accumulates where no compiler tells."""
    unit = "MACs" if layers[0].cycles is None else "cycles"
    costs = {layer: layer.macs if layer.cycles is None else layer.cycles for layer in layers}
    layers = [layer for layer in layers if costs[layer]]
    values = [costs[layer] for layer in layers]
    total = sum(values)
    scale, word = (1e6, "million") if max(values, default=0) >= 2e6 else (1e3, "thousand")
    return _bars(
        layers,
        [value / scale for value in values],
        LIGHT["bar"],
        f"%{{y:,.2f}} {word} {unit}",
        f"{word} {unit}",
        [f"{value / total:.1%} of all" for value in values],
    )


def trades(found: Sequence[Trade]) -> Figure:
    """How much longer an image takes in less memory."""
    figure = _graph_objects().Figure(layout=_layout("ms an image"))
    figure.add_scatter(
        x=[each.kib for each in found],
        y=[each.milliseconds for each in found],
        mode="lines+markers",
        line={"color": LIGHT["peak"], "width": 2},
        marker={"size": 7, "color": LIGHT["peak"]},
        customdata=[f"{each.more:+.2%}" for each in found],
        hovertemplate="%{x:,.1f} KiB, %{y:.2f} ms (%{customdata})<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(
        title_text="activations in memory, KiB",
        type="linear",
        showgrid=True,
        tickangle=0,
        nticks=8,
    )
    figure.update_yaxes(rangemode="normal", tickformat=",.4~f")
    return figure


def errors(comparison: Comparison) -> Figure:
    """What int8 loses in each layer: by itself, and with all that lies before it.

    Left out are layers that the images hardly speak to, and errors of nothing at all.
    """
    figure = _graph_objects().Figure(layout=_layout("signal to noise, dB"))
    layers = comparison.layers
    shorts = [escape(short) for short in short_names([each.layer for each in layers])]
    own, accumulated = (
        [None if each.is_faint or not np.isfinite(loss(each)) else loss(each) for each in layers]
        for loss in (lambda each: each.lost_db, lambda each: each.accumulated.sqnr_db)
    )
    told = [
        _told(
            *(each.layer, [each.op], each.shape),
            f"alone {_db(one)}, with all before it {_db(both)}",
        )
        for each, one, both in zip(layers, own, accumulated, strict=True)
    ]
    for name, values, colour in (
        ("the layer alone", own, LIGHT["own"]),
        ("with all before it", accumulated, LIGHT["accumulated"]),
    ):
        figure.add_scatter(
            x=shorts,
            y=values,
            name=name,
            mode="lines+markers",
            connectgaps=True,  # over layers that lose nothing
            line={"color": colour, "width": 1.5},
            marker={"size": 4, "color": colour},
            customdata=told,
            hovertemplate="%{customdata}<extra></extra>",
        )
    # one label tells both; what a layer loses alone is often nothing, which is no point
    figure.data[0].update(hoverinfo="skip", hovertemplate=None)
    known = [value for value in (*own, *accumulated) if value is not None]
    figure.update_xaxes(range=[-0.5, len(shorts) - 0.5])
    shown = [min([0, *known]), 1.05 * min(max(known), EXACT_DB)] if known else None
    figure.update_yaxes(range=shown)
    figure.update_layout(margin_t=28)
    return figure


def precision_recall(models: Mapping[str, Accuracy]) -> Figure:
    """Curves of every class and of their mean, each with its number, which the page chooses by.

    Parameters
    ----------
    models
        ``float`` and ``int8``, or the latter alone.
    """
    figure = _graph_objects().Figure(layout=_layout("precision"))
    shown = line_names(models)
    for kind, accuracy in models.items():
        for number, name in enumerate(shown):
            line = accuracy.lines[name]
            known = line.confidence is not None
            figure.add_scatter(
                x=RECALLS.tolist(),
                y=np.round(line.precision, 4).tolist(),
                name=kind,
                mode="lines",
                line={"color": LIGHT[kind], "width": 2, "shape": "vh"},
                customdata=[_finite(value) for value in line.confidence] if known else None,
                hovertemplate=f"<b>{kind}</b> precision %{{y:.3f}} at recall %{{x:.2f}}"
                + (", confidence %{customdata:.3f}" if known else "")
                + "<extra></extra>",
                meta=number,
                visible=number == 0,
            )
    figure.update_xaxes(
        title_text="recall",
        type="linear",
        range=[0, 1.01],
        showgrid=True,
        tickangle=0,
        nticks=12,
    )
    figure.update_yaxes(range=[0, 1.03])
    figure.update_layout(margin_t=28)
    return figure


def line_names(models: Mapping[str, Accuracy]) -> list[str]:
    """The classes that `precision_recall` draws, in its numbers' order."""
    return list(next(iter(models.values())).lines)


def _bars(
    layers: Sequence[LayerCost],
    values: Sequence[float],
    colour: str | Sequence[str],
    hover: str,
    unit: str,
    notes: Sequence[str] | None = None,
) -> Figure:
    """A bar for each layer, in the order in which they run."""
    figure = _graph_objects().Figure(layout=_layout(unit))
    told = [
        _told(layer.name, layer.ops, layer.shape, note)
        for layer, note in zip(layers, notes or [""] * len(layers), strict=True)
    ]
    figure.add_bar(
        x=[escape(layer.short) for layer in layers],
        y=list(values),
        customdata=told,
        marker={"color": colour, "line": {"width": 0}},
        hovertemplate=f"%{{customdata}}<br>{hover}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(bargap=0.15)
    return figure


def _layout(unit: str) -> dict[str, Any]:
    axis = {
        "gridcolor": LIGHT["grid"],
        "linecolor": LIGHT["grid"],
        "zerolinecolor": LIGHT["grid"],
        "tickfont": {"color": LIGHT["quiet"], "size": 11},
        "automargin": True,
        "fixedrange": True,  # a finger that scrolls the page does not drag the chart
    }
    title = {"font": {"color": LIGHT["quiet"], "size": 12}, "standoff": 8}
    return {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": LIGHT["ink"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
        "xaxis": axis | {"showgrid": False, "title": title} | LAYERS,
        "yaxis": axis | {"title": title | {"text": unit}, "rangemode": "tozero", "tickformat": ","},
        "hovermode": "x",
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": LIGHT["paper"],
            "bordercolor": LIGHT["quiet"],
            "font": {"color": LIGHT["ink"], "size": 12},
            "align": "left",
            "namelength": -1,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }


def _graph_objects() -> Any:
    return optional_packages.load("plotly.graph_objects", "report", "drawing a report's charts")


def _told(layer: str, ops: Sequence[str], shape: Sequence[int], note: str) -> str:
    """What a label says of a layer."""
    lines = [f"<b>{escape(layer)}</b>", f"{', '.join(ops)} {'×'.join(map(str, shape))}", note]
    return "<br>".join(filter(None, lines))


def _db(value: float | None) -> str:
    return "no error" if value is None else f"{value:.1f} dB"


def _finite(value: float) -> float | None:
    """A number as JSON has it; None for what is none, which leaves a gap."""
    return float(value) if np.isfinite(value) else None
