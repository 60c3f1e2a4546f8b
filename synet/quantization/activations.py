"""Activations that one operation stands for, and how far that leads from the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synet.export.approximate import StandIn, approximate, choices
from synet.quantization.agreement import Agreement, compare_outputs
from synet.quantization.candidate import Candidate
from synet.quantization.proof import CONFIDENT
from synet.system.steps import step
from synet.tflite.kernels import FAST
from synet.tflite.micro import LACKS
from synet.tflite.model import TfliteModel


@dataclass(frozen=True)
class Activations:
    """What a user says of activations that the chip takes several operations for.

    Parameters
    ----------
    by
        The TFLite operation that may stand for them, see `synet.export.approximate.choices`.
    exact
        Layers that keep theirs, by their paths or how these begin.
    """

    by: str | None = None
    exact: Sequence[str] = ()


@dataclass(frozen=True)
class Twin:
    """The float file that becomes int8.

    Parameters
    ----------
    content
        It is what torch is, but for `stand_ins`.
    stand_ins
        Operations that stand for activations.
    agreement
        Mean difference from what torch is, over the rows that it is sure of; None where nothing
        stands in.
    """

    content: bytes
    stand_ins: tuple[StandIn, ...] = ()
    agreement: Agreement | None = None

    def __str__(self) -> str:
        far = self.agreement
        if far is None or not far.rows:
            return "no values to compare"
        return (
            f"{far.scores:.4f} (scores), {far.boxes:.4f} of the image (boxes), mean of {far.rows} "
            f"confident values"
        )

    def facts(self, candidate: Candidate) -> dict[str, Any]:
        """What a file tells of it."""
        facts: dict[str, Any] = {}
        if self.stand_ins:
            facts["approximates"] = [each.metadata() for each in self.stand_ins]
        lacked = sorted({each.by for each in self.stand_ins}.intersection(LACKS))
        if lacked and candidate.chip.compiler:
            compiler = candidate.chip.compiler
            facts["needs"] = (
                f"{compiler.name.title()} {compiler.version}: TFLite Micro has no "
                f"{' and no '.join(lacked)}"
            )
        return facts


def twin_of(
    candidate: Candidate, sample: Sequence[np.ndarray], exact: bytes, wanted: Activations
) -> Twin:
    """The float file that becomes int8, of the one that is what torch is.

    Raises
    ------
    SynetError
        The operation that is wanted costs something there, or no layer is called as those that
        shall keep theirs.
    """
    allowed = choices(candidate.chip.free_activations, wanted.by)
    content, found = approximate(exact, allowed, lambda: sample, wanted.exact)
    if not found:
        return Twin(exact)
    step("comparing what stands in with what was trained")
    reference, other = (TfliteModel(file, kernels=FAST).run for file in (exact, content))
    shape = candidate.shape
    return Twin(
        content, found, compare_outputs(sample, reference, other, shape, np.mean, CONFIDENT)
    )
