"""The page of a report: a template filled, with everything that it shows inside.

What it is allowed to do is written into it: its own scripts, by their hashes, its own styles and
pictures, and no address anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synet.quantization.proof import SCORE_BAR
from synet.report import charts
from synet.report.gallery import Exhibit
from synet.report.interface import Interface
from synet.report.operating import ALL, OperatingPoint
from synet.report.sections import (
    MEAN,
    Accuracy,
    LayerCost,
    Missing,
    OperationKind,
    Trade,
    Verdict,
)
from synet.system import optional_packages
from synet.system.errors import SynetError
from synet.system.version import VERSION

if TYPE_CHECKING:
    from synet.chips import Chip
    from synet.detections.score_shift import Shift
    from synet.evaluation.chance import Change
    from synet.inspection.compare import Comparison

MARK = '<meta name="generator" content="synet '  # by which a page of ours is known
BEGINNING_BYTES = 2048  # of a page, within which the mark stands
SHOWN = 6  # images of a gallery that a page opens with


@dataclass(frozen=True)
class Content:
    """All that a page tells.

    Parameters
    ----------
    title, split
        File name of the model, and the images that it was evaluated on.
    doubt
        What keeps the file from being used, whatever the figures are; mostly nothing.
    notes
        What else its user has to know.
    shift
        How far int8's confidences lie from float's; None without a float model.
    peak_bytes, held
        Of activations at the fullest moment, and which layers' outputs these are.
    trades
        How little memory the compiler can do with, and what that costs.
    models
        ``float``, where there is one, and ``int8``.
    changes
        Of average precision from float to int8, by class; None without a float model.
    operating
        None where int8 finds nothing right.
    gallery, mistakes
        Where int8 and float disagree most, and where int8 and the labels do.
    made
        Tables of names and values, by their titles.
    """

    title: str
    split: str
    doubt: str
    notes: tuple[str, ...]
    shift: Shift | None
    chip: Chip
    verdict: Verdict
    layers: tuple[LayerCost, ...]
    peak_bytes: int
    held: list[tuple[str, int]]
    trades: tuple[Trade, ...]
    errors: Comparison | Missing
    models: Mapping[str, Accuracy]
    changes: Mapping[str, Change] | None
    operating: OperatingPoint | None
    gallery: tuple[Exhibit, ...]
    mistakes: tuple[Exhibit, ...]
    operations: tuple[OperationKind, ...]
    interface: Interface
    made: Mapping[str, Mapping[str, str]]


def render(content: Content) -> str:
    """The page, one file of html."""
    jinja2 = optional_packages.load("jinja2", "report", "writing a report")
    offline = optional_packages.load("plotly.offline", "report", "drawing the charts of a report")
    figures = {
        "memory": charts.memory(content.layers, content.peak_bytes, content.chip),
        "cost": charts.cost(content.layers),
    }
    if content.trades:
        figures["trades"] = charts.trades(content.trades)
    if not isinstance(content.errors, Missing):
        figures["errors"] = charts.errors(content.errors)
    if content.models["int8"].lines:
        figures["curves"] = charts.precision_recall(content.models)
    scripts = [offline.get_plotlyjs(), _text_of("page.js")]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"kib": _kib, "three": _three, "signed": _signed, "db": _db}
    return environment.from_string(_text_of("page.html.j2")).render(
        content=content,
        missing=isinstance(content.errors, Missing),
        mean=MEAN,
        all=ALL,
        shown=SHOWN,
        exact=charts.EXACT_DB,
        shift_bar=SCORE_BAR,
        lines=charts.line_names(content.models),
        mark=f"synet {VERSION}",
        policy=_policy(scripts),
        colours=charts.COLOURS,
        twins=dict(charts.COLOURS.values()),
        figures={name: json.loads(figure.to_json()) for name, figure in figures.items()},
        style=_text_of("page.css"),
        scripts=scripts,
    )


def is_ours(path: Path) -> bool:
    """Whether a file is a page that SyNet wrote.

    Raises
    ------
    SynetError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(BEGINNING_BYTES)
    except OSError as error:
        raise SynetError(f"cannot read {path}: {error.strerror or error}") from None


def _policy(scripts: list[str]) -> str:
    """What a browser lets the page do: run these scripts, and reach for nothing."""
    hashes = (base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts)
    sources = " ".join(f"'sha256-{each.decode()}'" for each in hashes)
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {sources}; "
        "base-uri 'none'; form-action 'none'"
    )


def _text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _kib(count: int) -> str:
    return f"{count / 1024:,.1f}"


def _three(fraction: float) -> str:
    """A precision or recall, 0 to 1, as the terminal tells it."""
    return "–" if fraction != fraction else f"{fraction:.3f}"


def _signed(fraction: float) -> str:
    """How much it is more, or less."""
    return "–" if fraction != fraction else f"{fraction:+.3f}".replace("-", "−")


def _db(value: float) -> str:
    return "no error" if value == math.inf else f"{value:.1f}".replace("-", "−")
