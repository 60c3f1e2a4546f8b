"""Telling by what a builder's module has whether it is of a family's line."""

from __future__ import annotations

from types import FunctionType

import wrapt

from synet.patches.contents import classes_of, is_class
from synet.patches.declaration import Fork, Swap, resolve


def missing_of(fork: Fork) -> list[str]:
    """What a builder's module lacks; what it has is noted in ``fork.called``."""
    missing = []
    for swap in fork.family.swaps:
        name = _called(fork, swap)
        if name is not None:
            fork.called[swap.name] = name
        elif swap.required:
            missing.append(swap.called or swap.name)
    if not models_of(fork):
        missing.append(f"a Model class that calls {fork.family.builder}")
    return missing


def _called(fork: Fork, swap: Swap) -> str | None:
    """What the fork calls the class that `swap` is about; None where it may not be swapped."""
    name = swap.called or swap.name
    if is_class(fork.names.get(name)):
        fits = not swap.when or resolve(swap.when)(fork.names[name], resolve(swap.new))
        return name if fits else None
    like = resolve(swap.like) if swap.like else lambda _: False
    classes = {n: value for n, value in fork.names.items() if is_class(value)}
    return next((name for name, value in classes.items() if like(value)), None)


def models_of(fork: Fork) -> list[type]:
    """Classes of the builder's module that build their layers with it, maybe through a helper."""
    functions = [v for v in fork.names.values() if type(v) is FunctionType]
    builders = {fork.family.builder}
    while (
        more := {
            f.__name__
            for f in functions
            if f.__module__ == fork.module.__name__ and builders & {*f.__code__.co_names}
        }
        - builders
    ):
        builders |= more
    return [cls for cls in classes_of(fork.module) if _calls(cls, builders)]


def _calls(cls: type, names: set[str]) -> bool:
    kinds = (FunctionType, wrapt.FunctionWrapper)  # as they are before a patch, and in one
    methods = [value for value in vars(cls).values() if type(value) in kinds]
    return "__init__" in vars(cls) and any(names & {*m.__code__.co_names} for m in methods)
