"""The path of a module that is running, also of one that several others share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def paths_of(network: nn.Module) -> dict[int, str]:
    """The paths of a network's modules, by their ids, as in ``network.named_modules()``."""
    return {id(module): name for name, module in reversed(list(network.named_modules()))}


def path_of(stack: Sequence[nn.Module], paths: dict[int, str]) -> str:
    """The path of the innermost of some modules that call each other; empty if none has one.

    One that several others share, as forks do with activations, is the child of that which calls
    it.
    """
    named = [module for module in stack if id(module) in paths]
    if not named:
        return ""
    *_, caller, module = None, *named
    children = vars(caller)["_modules"] if caller else {}
    own = next((name for name, child in children.items() if child is module), None)
    if own is None:
        return paths[id(module)]
    return ".".join(filter(None, (paths[id(caller)], own)))
