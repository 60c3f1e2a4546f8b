"""How much the teacher counts: constants, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the teacher tells is judged as the student's own loss judges what the labels tell: by the
# same gains, which the fork keeps with its model, and over the same count of objects. So 1 means as
# much as the labels, in every fork. Features have no such counterpart; they are a hint. On blood
# cells, with a few epochs of katana-kqvga, half of what a wholly wrong box costs took more from
# the student than its teacher gave.
WEIGHTS: dict[str, float] = {"scores": 1.0, "boxes": 1.0, "features": 0.05}

# The teacher's weight falls as the fork's own learning rate does, down to this share: in the end
# the labels, which are right where the teacher errs, have the last word.
FLOOR = 0.25

# Surer than this the teacher tells a box; below it, what it tells of boxes is noise.
SURE = 0.25

# Less sure than this it tells that there is nothing, to every anchor of the cell.
NOTHING = 0.05

# As YOLOv5 matches labels with anchors: none that is 4 times as wide or high, or a fourth; and the
# centre lies within half a cell of the cell.
RATIO, REACH = 4.0, 0.5

# What YOLOs have, where the model does not keep its own. Of heads with anchors, and without.
GAINS: Mapping[bool, Mapping[str, float]] = {
    True: {"box": 0.05, "obj": 1.0, "cls": 0.5},
    False: {"box": 7.5, "cls": 0.5, "dfl": 1.5},
}


def gains_of(model: Any, has_anchors: bool) -> dict[str, float]:
    """The gains of the fork's own loss, which it keeps with the model that is trained."""
    kept = getattr(model, "hyp", None) or getattr(model, "args", None) or {}
    kept = kept if isinstance(kept, Mapping) else vars(kept)
    return {name: float(kept.get(name, gain)) for name, gain in GAINS[has_anchors].items()}


def scheduled(rate: float) -> float:
    """The teacher's weight at a learning rate, which is given as a share of the first one."""
    return FLOOR + (1 - FLOOR) * min(max(rate, 0.0), 1.0)
