"""Numbers without a network: what is in a checkpoint that was saved by ``state_dict()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from synet.system.errors import CheckpointError
from synet.system.text import first_few

PLACES = ("ema", "model", "state_dict", "model_state_dict")  # where trainers put one


def state_in(content: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """The state dict in a checkpoint that holds no network; None where there is none."""
    for state in (*(content.get(key) for key in PLACES), content):
        if isinstance(state, Mapping) and state and all(map(_is_entry, state.items())):
            return {name.removeprefix("module."): value for name, value in state.items()}
    return None


def fill_network(model: nn.Module, state: Mapping[str, torch.Tensor], place: str) -> None:
    """Give a network the numbers of a state dict.

    Raises
    ------
    CheckpointError
        It is that of another network.
    """
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    lacking = [n for n in own if n not in state and not n.endswith(".num_batches_tracked")]
    others = [name for name in state if name not in own]
    sizes = [n for n, shape in own.items() if n in state and state[n].shape != shape]
    told = {"lacks": lacking, "has besides": others, "has of other sizes": sizes}
    if any(told.values()):
        found = "; ".join(f"{what} {_listed(names)}" for what, names in told.items() if names)
        raise CheckpointError(f"{place}: of the {len(own)} tensors of that network it {found}")
    model.load_state_dict(state, strict=False)


def _is_entry(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    return isinstance(name, str) and "." in name and isinstance(value, torch.Tensor)


def _listed(names: list[str]) -> str:
    return first_few([*map(ascii, names)], 3).replace("'", "")
