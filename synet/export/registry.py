"""Torch function -> Keras layer.

Each entry is declared with `lowers`. It builds with the kit of the context that it runs in: Keras,
or shapes alone, which tell the chip check of a model what an export will hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

from synet.chips import OpRule
from synet.chips.record import Spelling
from synet.export.context import Context
from synet.layers.exporting import current


@dataclass(frozen=True)
class Lowering:
    """The twin of a torch function.

    `keeps_padding` is for one that knows what to do with zeros that its tensor is still waiting
    for; for all others they are added first. `fused` are the TFLite operations, where the converter
    makes fewer of them than the twin builds.
    """

    run: Callable[..., Any]
    keeps_padding: bool = False
    fused: tuple[str, ...] = ()


TABLE: dict[Any, Lowering] = {}
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # which torch understands too


Run = TypeVar("Run", bound=Callable[..., Any])


def lowers(
    *names: str | Callable[..., Any], keeps_padding: bool = False, fused: Sequence[str] = ()
) -> Callable[[Run], Run]:
    """Register the twin of a torch function.

    Parameters
    ----------
    names
        Functions, or names looked up in ``torch``, ``torch.nn.functional`` and
        ``torch.Tensor``, where one function often lives three times.
    keeps_padding, fused
        As in `Lowering`.
    """
    functions: list[Any] = []
    for name in names:
        if isinstance(name, str):
            found = (getattr(home, name, None) for home in (torch, F, torch.Tensor))
            functions += filter(callable, found)
        else:
            functions.append(name)

    def register(run: Run) -> Run:
        lowering = Lowering(run, keeps_padding, tuple(fused))
        for function in dict.fromkeys(functions):
            if TABLE.setdefault(function, lowering) is not lowering:
                raise ValueError(f"{function} already has a Keras twin")
        return run

    return register


def lowering_of(function: Any) -> Lowering | None:
    """The twin of a torch function, or of the one that it does in place."""
    name = getattr(function, "__name__", str(function))
    found = TABLE.get(function)
    if found is None and in_place(name):
        found = TABLE.get(getattr(torch.Tensor, name[:-1], None))
    return found


def in_place(name: str) -> bool:
    """Does a torch function of that name change its argument?"""
    return name.endswith("_") and not name.endswith("__")


def torch_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments by torch's own names."""
    return {NUMPY_NAMES.get(name, name): value for name, value in kwargs.items()}


def context() -> Context:
    """What this thread lowers in."""
    found: Context = current()
    return found


def kit() -> Any:
    """Keras, or what stands in for it where shapes are all that is asked for."""
    return context().kit


def layer_name(function: str) -> str:
    """A name for the Keras layer that answers `function` in the running module."""
    return context().layer_name(function)


def rule_of(operation: str) -> OpRule | None:
    """The limits of an operation on the chip that is exported for; None if it does not have it."""
    return context().rule_of(operation)


def spelling() -> Spelling:
    """How far to go, on that chip, where one operation is built of others."""
    return context().spelling


def whole_pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number, or (vertical, horizontal), as the latter; numbers of whatever kind as int."""
    vertical, horizontal = (value, value) if isinstance(value, int) else value
    return int(vertical), int(horizontal)
