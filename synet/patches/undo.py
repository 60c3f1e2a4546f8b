"""What a patch displaces, written down as it is displaced, and the way back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import wrapt

ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One displaced name, for people: ``models.common.Conv`` gave way to ``synet...Conv``."""

    where: str
    kind: str
    old: str
    new: str


class Applied:
    """What has been displaced so far, and the way back: undo is what apply wrote down."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.changes: list[Change] = []

    def __bool__(self) -> bool:
        return bool(self._undo)

    def bind(self, owner: Any, name: str, new: Any, kind: str = "set") -> None:
        """Set attribute `name` of a module or class, remembering what stood there."""
        old = vars(owner).get(name, ABSENT)  # vars(): never copy an inherited method down
        setattr(owner, name, new)
        self._undo.append(
            (lambda: delattr(owner, name)) if old is ABSENT else (lambda: setattr(owner, name, old))
        )
        shown = "" if old is ABSENT else title(old)
        self.changes.append(Change(f"{title(owner)}.{name}", kind, shown, title(new)))

    def bind_item(self, mapping: MutableMapping, key: Any, new: Any) -> None:
        """Set an item of a mapping (``os.environ``, ``sys.modules``), remembering the old one."""
        old = mapping.get(key, ABSENT)
        mapping[key] = new
        self._undo.append(
            (lambda: mapping.pop(key, None))
            if old is ABSENT
            else (lambda: mapping.__setitem__(key, old))
        )

    def rebase(self, cls: type, old: type, new: type) -> None:
        """Make `cls`, a subclass of `old`, a subclass of `new` instead."""
        bases = cls.__bases__
        cls.__bases__ = tuple(new if base is old else base for base in bases)
        self._undo.append(lambda: setattr(cls, "__bases__", bases))
        self.changes.append(Change(title(cls), "rebase", title(old), title(new)))

    def on_undo(self, callback: Callable[[], None]) -> None:
        """Call `callback` when everything applied after this point has been undone."""
        self._undo.append(callback)

    def undo(self) -> None:
        """Unwind, newest first. Twice is harmless: the stack is empty."""
        while self._undo:
            self._undo.pop()()
        self.changes.clear()


def title(value: Any) -> str:
    """What people call a module, a class or a function; a wrapper by what it does."""
    if isinstance(value, wrapt.FunctionWrapper):
        value = value._self_wrapper  # ours, rather than the function that it passes for
    if isinstance(value, ModuleType):
        return value.__name__
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    return f"{module}.{name.partition('.<locals>')[0]}" if module and name else str(value)
