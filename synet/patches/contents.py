"""What an imported module defines itself and what it holds, without running any code of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from synet.system.process import names_of


def defined_function(module: ModuleType, name: str) -> FunctionType | None:
    """The function `name` that `module` itself defines, unless it is wrapped already."""
    value = names_of(module).get(name)
    # type(), as a wrapt proxy passes isinstance() for what it wraps
    own = type(value) is FunctionType and value.__module__ == names_of(module).get("__name__")
    return value if own else None


def defines(owner: ModuleType | type, name: str) -> bool:
    """Does a module, or a class, define `name` itself?"""
    if isinstance(owner, type):
        return name in vars(owner)
    return getattr(names_of(owner).get(name), "__module__", None) == owner.__name__


def classes_of(module: ModuleType) -> Iterator[type]:
    """Classes that `module` itself defines, each once, whatever aliases it has."""
    names = names_of(module)
    for value in dict.fromkeys(v for v in names.values() if is_class(v)):
        if value.__module__ == names.get("__name__"):
            yield value


def is_class(value: Any) -> bool:
    """Is that a class? Whatever lies in a module is not asked."""
    return issubclass(type(value), type)  # isinstance() asks the object, which may raise


def holders_of(module: ModuleType, value: Any) -> Iterator[tuple[str, Any]]:
    """Places other than names in which a module holds `value`: tables, defaults, attributes."""
    for name, held in names_of(module).items():
        if name.startswith("__"):
            continue
        kind = type(held)
        if issubclass(kind, (list, tuple, set, frozenset)) and any(v is value for v in held):
            yield name, held
        elif issubclass(kind, dict) and any(v is value for v in held.values()):
            yield name, held
        elif kind is FunctionType and any(v is value for v in held.__defaults__ or ()):
            yield f"{name}(), a default", held
        elif is_class(held) and held.__module__ == module.__name__:
            yield from ((f"{name}.{key}", held) for key, v in vars(held).items() if v is value)
