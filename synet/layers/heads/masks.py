"""Prototypes of masks, which every head of segments makes of its finest maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from synet.layers.heads.form import Outputs
from synet.system.errors import SynetError


def prototypes(head: nn.Module, x: Sequence[Tensor]) -> Outputs:
    """(1, M, h, w), from the finest map, or from all of them where they are refined first."""
    return {"prototypes": head.proto([*x] if hasattr(head.proto, "feat_refine") else x[0])}


def returned_prototypes(head: nn.Module, output: Any) -> Outputs:
    """(1, h, w, M), from what the whole network returned in evaluation.

    Raises
    ------
    SynetError
        They are not there.
    """
    found = [y for y in _in_tuples(output) if y.dim() == 4 and y.shape[1] == head.nm]
    if not found:
        raise SynetError(
            f"{type(head).__name__} returned no prototypes (N, {head.nm}, h, w): it makes masks in "
            f"a way of its own"
        )
    return {"prototypes": found[-1].permute(0, 2, 3, 1)}


def _in_tuples(value: Any) -> Iterator[Tensor]:
    """Tensors in tuples within tuples: in lists and maps are what only the loss reads."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _in_tuples(part)
