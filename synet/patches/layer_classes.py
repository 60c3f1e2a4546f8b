"""Which of the names in a builder's module are layers, told by what they are.

Beside its layers such a module has whatever else it imports: what loads files, fetches weights,
runs commands. Much of that is a module of torch as well. A layer is made of numbers alone: its
constructor takes no file and no model, and nothing that it calls reaches for one.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from synet.patches.declaration import Fork

# Parameters of what is made from a file, or around a model that is there already.
MADE_FROM = {
    *("cfg", "checkpoint", "ckpt", "engine", "file", "filename", "model", "model_name", "path"),
    *("url", "weights"),
}
# What opens or fetches a file, or runs something, by the name that a constructor calls it by.
REACHING = {
    *("__import__", "attempt_download", "attempt_load", "check_file", "check_requirements"),
    *("create_model", "download", "download_url_to_file", "exec", "from_pretrained", "fromfile"),
    *("get_model", "hf_hub_download", "import_module", "imread", "InferenceSession", "Interpreter"),
    *("load", "load_file", "load_inline", "load_library", "load_model", "load_url", "loadtxt"),
    *("load_state_dict_from_url", "memmap", "open", "Popen", "run", "safe_download", "system"),
    *("torch_load", "torch_safe_load", "urlopen", "urlretrieve"),
}
# Whose code makes layers of numbers, as everybody knows it.
KNOWN = ("torch.nn.modules.", "torch.ao.nn.", "torchvision.ops.", "synet.")
# What need not be looked into for what it reaches.
UNSEEN = {*sys.stdlib_module_names, "torch", "torchvision", "numpy", "synet"}
# What a function that stands for a layer (``DWConv`` of old forks) may use besides layers.
PLAIN = {"math", "torch", "torch.nn"} | {"abs", "float", "int", "isinstance", "len", "max", "min"}


class LayerClasses:
    """Tells the layers of one builder's module from what else it holds."""

    def __init__(self, fork: Fork) -> None:
        self.reaching = REACHING | {fork.family.builder}  # what calls that is a whole model
        self._known: dict[int, str] = {}

    def why_not(self, value: Any) -> str:
        """What is wrong with `value` as a layer, in the words of a sentence; empty for one."""
        if id(value) not in self._known:
            self._known[id(value)] = "is no layer"  # for what calls itself
            self._known[id(value)] = self._why_not(value)
        return self._known[id(value)]

    def _why_not(self, value: Any) -> str:
        if type(value) is FunctionType:
            return "" if self._makes_a_layer(value) else "is a function, and no layer"
        if not isinstance(value, type) or not issubclass(value, nn.Module):
            return "is no layer"
        if issubclass(value, (nn.ModuleList, nn.ModuleDict)):
            return "is a list of layers, and no layer"
        if value.__module__.startswith(KNOWN):
            return ""
        if value.__module__.startswith("torch."):
            return "is no layer"
        made_from = [name for name in _parameters(value) if name in MADE_FROM]
        if made_from:
            return f"is made from {made_from[0]!r}, as no layer is"
        reached = next(self._reached(value, set()), "")
        return f"calls {reached} when it is made, as no layer does" if reached else ""

    def _makes_a_layer(self, function: FunctionType) -> bool:
        """Does a function make layers, and nothing else?"""
        used = {kind: {*names} for kind, names in _names(function.__code__).items()}
        values = [_global(function, name) for name in used["global"]]
        layers = [v for v in values if isinstance(v, type) and not self.why_not(v)]
        rest = [v for v in values if not any(v is layer for layer in layers)]
        plain = all(getattr(v, "__name__", "") in PLAIN for v in rest)
        return bool(layers) and plain and not used["import"] and not used["attribute"] & REACHING

    def _reached(self, cls: type, seen: set[int]) -> Iterator[str]:
        """What of `reaching` is called when a class is made, directly or by what is called."""
        for base in cls.__mro__:
            if _is_unseen(base):
                continue
            for name in ("__init__", "__new__"):
                made_by = inspect.unwrap(vars(base).get(name, len))
                if type(made_by) is FunctionType:
                    yield from self._reached_by(made_by, cls, seen)

    def _reached_by(
        self, function: FunctionType, owner: type | None, seen: set[int]
    ) -> Iterator[str]:
        if id(function) in seen:
            return
        seen.add(id(function))
        used = _names(function.__code__)
        for name in used["global"] + used["import"] + used["attribute"]:
            own = inspect.getattr_static(owner, name, None) if name in used["attribute"] else None
            found = inspect.unwrap(own if own is not None else _global(function, name))
            if name in self.reaching and own is None:
                yield name
            elif _is_unseen(found):
                continue
            elif type(found) is FunctionType:
                yield from self._reached_by(found, None if own is None else owner, seen)
            elif isinstance(found, type) and issubclass(found, nn.Module) and found is not owner:
                yield from self._reached(found, seen)


def _parameters(cls: type) -> list[str]:
    try:
        return [*inspect.signature(cls).parameters]
    except (TypeError, ValueError):
        return []


def _names(code: CodeType) -> dict[str, list[str]]:
    """The names that code uses, its inner functions included, by how it comes by them."""
    used: dict[str, list[str]] = {"global": [], "attribute": [], "import": []}
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            used["global"].append(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            used["attribute"].append(step.argval)
        elif step.opname in ("IMPORT_NAME", "IMPORT_FROM"):
            used["import"].append(step.argval)
    for inner in [const for const in code.co_consts if isinstance(const, CodeType)]:
        for kind, names in _names(inner).items():
            used[kind] += names
    return used


def _global(function: FunctionType, name: str) -> Any:
    found = function.__globals__
    builtins = found.get("__builtins__", {})
    builtins = vars(builtins) if isinstance(builtins, ModuleType) else builtins
    return found.get(name, builtins.get(name))


def _is_unseen(value: Any) -> bool:
    home = getattr(value, "__module__", None)
    return not isinstance(home, str) or home.partition(".")[0] in UNSEEN
