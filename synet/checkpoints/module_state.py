"""What may be the state of a module: its parts, and nothing that torch would call."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

_PARTS = {"_parameters": torch.Tensor, "_buffers": torch.Tensor, "_modules": nn.Module}
_METHODS = frozenset(name for name, _ in inspect.getmembers(nn.Module, inspect.isroutine))
_NONE: OrderedDict[int, Any] = OrderedDict()
_HOOKS = tuple(name for name in vars(nn.Module()) if "_hooks" in name)


def modules_of(model: nn.Module) -> list[nn.Module]:
    """All modules of a network, whatever its file has put in the place of its methods."""
    found: dict[int, nn.Module] = {}
    todo: list[Any] = [model]
    while todo:
        module = todo.pop()
        if isinstance(module, nn.Module) and id(module) not in found:
            found[id(module)] = module
            todo += vars(module).get("_modules", {}).values()
    return list(found.values())


class Shell:
    """A thing that the file makes, while it is read."""


def is_module_state(cls: type[nn.Module], state: dict[str, Any]) -> bool:
    """Is that the state of a module: parts of their kinds, nothing that torch would call?"""
    for part, kind in _PARTS.items():
        parts = state.get(part)
        if (
            not isinstance(parts, dict)
            or parts
            and not all(
                value is None or isinstance(value, kind) or type(value) is Shell
                for value in parts.values()
            )
        ):
            return False
    # what a hook is added to must be of the kind that torch points to weakly
    if not all(isinstance(state.get(name, _NONE), OrderedDict) for name in _HOOKS):
        return False
    hooks = {name: state[name] for name in _HOOKS if state.get(name)}
    if hooks and not _are_clips(hooks):
        return False
    if not _METHODS.isdisjoint(state):  # YOLOs keep a text as ``type``
        if any(isinstance(state.get(name), (nn.Module, Shell)) for name in _METHODS):
            return False
    if issubclass(cls, nn.RNNBase):  # torch goes through as many layers as it says to have
        layers = state.get("num_layers")
        return type(layers) is int and layers <= len(state["_parameters"])
    return True


def _are_clips(hooks: dict[str, Any]) -> bool:
    """Are these the hooks of `synet.layers.clip`, the only ones that a checkpoint brings along?"""
    from synet.layers.clip import ALWAYS, HOOKS

    if not all(isinstance(each, dict) for each in hooks.values()):
        return False
    kinds = {name: [*map(type, each.values())] for name, each in hooks.items()}
    # what is entered is left, whatever happens in between
    return kinds == HOOKS and [*hooks["_forward_hooks"]] == [*hooks[ALWAYS]]
