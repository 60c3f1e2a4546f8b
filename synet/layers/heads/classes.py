"""Classifiers: a probability for each class of the image as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synet.layers.heads.form import HeadForm, Outputs
from synet.system.errors import SynetError


@dataclass(frozen=True)
class ClassForm(HeadForm):
    """A convolution, the mean over the image, a linear layer."""

    task = "classify"

    @classmethod
    def of(cls, module: nn.Module) -> ClassForm | None:  # noqa: D102
        parts = dict(module.named_children())
        fits = isinstance(parts.get("linear"), nn.Linear) and {"conv", "pool"} <= parts.keys()
        return cls() if fits and parts.keys() <= {"conv", "pool", "drop", "linear"} else None

    def inputs(self, head: nn.Module) -> list[int]:  # noqa: D102
        sources = getattr(head, "f", -1)
        return list(range(1 if isinstance(sources, int) else len(sources)))

    def export(  # noqa: D102
        self,
        head: nn.Module,
        x: Tensor | Sequence[Tensor],
        image_shape: tuple[int, int] | None = None,
    ) -> Outputs:
        x = torch.cat(list(x), 1) if isinstance(x, (list, tuple)) else x
        return {"probabilities": head.linear(head.pool(head.conv(x)).flatten(1)).softmax(1)}

    def as_exported(  # noqa: D102
        self, head: nn.Module, output: Any, image_shape: tuple[int, int]
    ) -> Outputs:
        y = output[0] if isinstance(output, (tuple, list)) and output else output
        classes = head.linear.out_features
        if not isinstance(y, Tensor) or y.dim() != 2 or y.shape[1] != classes:
            raise SynetError(
                f"{type(head).__name__} returned no probabilities (N, {classes}): it classifies in "
                f"a way of its own"
            )
        # Some forks leave it to the application to make probabilities of what they return.
        are_probabilities = bool((y >= 0).all()) and torch.allclose(y.sum(1), y.new_ones(len(y)))
        return {"probabilities": y if are_probabilities else y.softmax(1)}
