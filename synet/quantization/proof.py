"""Whether an int8 file does what the float file does, and what that was held against.

What counts is what is found: the rows that float is sure of. On images that show nothing the
network is held to what there always is: all rows, the order of their scores, and the features
that the head reads. That is a lesser bar, which says less of what the application will see; and
random images are none at all. Where no bar is met the file is not proven, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synet.layerwise.errors import Sums
from synet.layerwise.origins import NotTwins, find_origins
from synet.quantization.agreement import Agreement, Runner, compare_outputs
from synet.tflite.graph import Graph, read_graph
from synet.tflite.kernels import FAST, open_model
from synet.tflite.model import TensorRunner, TfliteModel

CONFIDENT = 0.25  # a row that float scores as high is one that it is sure of
SCORE_BAR = 0.05  # mean difference of scores
BOX_BAR = 0.01  # of boxes, as a fraction of the longer side
FEATURE_BAR = 10.0  # dB of signal to noise, of what the head reads
SAMPLE = 4  # images on which features are compared

BARS = {"rows": "confident rows", "features": "all rows and features", "none": "none"}


@dataclass(frozen=True)
class Proof:
    """How far int8 is from float, by which bar.

    Parameters
    ----------
    bar
        A key of `BARS`: ``rows`` where float is sure of some, ``features`` where it is not,
        ``none`` where nothing was compared that would tell.
    agreement
        Mean differences over the rows that count: confident ones, or all.
    images
        How many they were measured on.
    features_db
        Signal to quantization noise of what the head reads; None where `bar` needs none.
    ranks
        Rank correlation of the scores of all rows; None likewise.
    missed
        What does not meet the bar; empty where all does.
    """

    bar: str
    agreement: Agreement = Agreement(math.nan, math.nan, 0)
    images: int = 0
    features_db: float | None = None
    ranks: float | None = None
    missed: str = ""

    @property
    def proven(self) -> bool:
        """Was there a bar, and is it met?"""
        return self.bar != "none" and not self.missed

    @property
    def is_beyond(self) -> bool:
        """Is int8 shown to be another model, in what float is sure of?"""
        return self.bar == "rows" and bool(self.missed)

    def __str__(self) -> str:
        verdict = "proven" if self.proven else f"not proven: {self.missed}"
        if self.bar == "none":
            return verdict
        each = self.agreement
        figures = f"{each.scores:.4f} (scores), {each.boxes:.4f} of the image (boxes)"
        if self.bar == "rows":
            return f"{figures}, mean of {each.rows} confident values: {verdict}"
        return (
            f"{figures}, mean of all {each.rows} values, for none reaches {CONFIDENT}; features "
            f"before the head {self.features_db:.1f} dB, rank correlation {self.ranks:.2f}: "
            f"{verdict}"
        )

    def metadata(self) -> dict[str, Any]:
        """What a file tells of its own proof, as JSON."""
        facts = {"proven": self.proven, "bar": BARS[self.bar], "images": self.images}
        if self.bar != "none":
            figures: dict[str, float | None]
            figures = {"scores": self.agreement.scores, "boxes": self.agreement.boxes}
            figures |= {"features_db": self.features_db, "ranks": self.ranks}
            facts |= {k: round(v, 6) for k, v in figures.items() if v is not None and v == v}
            facts["values"] = self.agreement.rows
        return facts | ({"missed": self.missed} if self.missed else {})


def unproven(why: str) -> Proof:
    """Of a file of which nothing that was compared would tell."""
    return Proof("none", missed=why)


def prove(
    images: Sequence[np.ndarray],
    reference: bytes,
    int8: bytes,
    shape: tuple[int, int],
    head: str,
    twin: bytes | None = None,
) -> Proof:
    """Compare an int8 file with the float one that it was made of.

    Parameters
    ----------
    images
        float32 (H, W, C), 0-1; real ones.
    reference, int8
        The two files; `reference` is what torch is.
    shape
        Height and width.
    head
        Path of the head in the network that both were made of.
    twin
        The float file that became `int8`, with the features of which its own are compared. Default:
        `reference`.

    Raises
    ------
    VerificationError
        They do not have the same outputs.
    """
    exact, found = TfliteModel(reference, kernels=FAST).run, open_model(int8).run
    sure = compare_outputs(images, exact, found, shape, np.mean, CONFIDENT)
    if sure.rows:
        return Proof("rows", sure, len(images), missed=_beyond(sure))
    features = features_db(images[:SAMPLE], twin or reference, int8, head)
    if not math.isfinite(features):
        return unproven(f"float is sure of nothing in {len(images)} images, nor has it features")
    every = compare_outputs(images, exact, found, shape, np.mean)
    ranks = rank_correlation(images, exact, found)
    missed = _beyond(every)
    if not missed and features < FEATURE_BAR:
        missed = f"the features before the head are {features:.1f} dB, bar {FEATURE_BAR:.0f}"
    return Proof("features", every, len(images), features, ranks, missed)


def features_db(images: Sequence[np.ndarray], reference: bytes, int8: bytes, head: str) -> float:
    """Signal to quantization noise of what the head reads; NaN where that is not told apart."""
    exact, found = read_graph(reference), read_graph(int8)
    try:
        origins = find_origins(exact, found).tensors
    except NotTwins:
        return math.nan
    floats, int8s = TensorRunner(reference), TensorRunner(int8)
    sums = {tensor: Sums() for tensor in _read_by(found, head)}
    for image in images:
        floats.run({floats.inputs[0]: image[None]})
        int8s.run({int8s.inputs[0]: int8s.ports[int8s.inputs[0]].quantize(image[None])})
        for tensor, each in sums.items():
            stored = int8s.ports[tensor].dequantize(int8s.values(tensor))
            each.add(floats.values(origins[tensor]), stored)
    return min((each.closeness().sqnr_db for each in sums.values()), default=math.nan)


def _read_by(graph: Graph, head: str) -> list[int]:
    """Activations that the layers of `head` read and other layers write."""
    writers = graph.writers()

    def inside(layer: str) -> bool:
        path = layer.rpartition("(after ")[2].rstrip(")")
        return path == head or path.startswith(f"{head}.")

    read = [t for op in graph.operators if inside(op.layer) for t in graph.activations(op.inputs)]
    return [tensor for tensor in dict.fromkeys(read) if not inside(writers[tensor])]


def rank_correlation(images: Sequence[np.ndarray], exact: Runner, found: Runner) -> float:
    """Spearman's, of the scores of all rows of all images; NaN where all are alike."""
    scores: list[list[np.ndarray]] = [[], []]
    for image in images:
        for kept, run in zip(scores, (exact, found), strict=True):
            kept.append(run(image)["scores"].ravel())
    ranks = np.stack([_ranks(np.concatenate(kept)) for kept in scores])
    return float(np.corrcoef(ranks)[0, 1]) if ranks.std(1).all() else math.nan


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value among all; those that are alike share the middle of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _beyond(agreement: Agreement) -> str:
    if agreement.scores <= SCORE_BAR and agreement.boxes <= BOX_BAR:
        return ""
    return (
        f"int8 differs from float by {agreement.scores:.3f} (scores, bar {SCORE_BAR}) and "
        f"{agreement.boxes:.4f} of the image (boxes, bar {BOX_BAR})"
    )
