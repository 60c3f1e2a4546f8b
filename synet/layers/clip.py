"""ReLU6 in place of the activations that a module's own code calls as functions.

A module that calls ``F.relu(x)`` in its ``forward`` holds no layer to replace. Two hooks
on it do as much: while it runs, torch's activations are ReLU6. Hooks are copied and saved together
with their module, its class and the names of its parameters stay.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from synet.system.borrowed import hooks_before

ACTIVATIONS = frozenset(
    ("relu", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish")
    + ("hardswish", "hardtanh", "threshold", "softplus")
)


class _Relu6Instead(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not is_activation(func):
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        return F.relu6(x, inplace=func.__name__.endswith("_") or bool(kwargs.get("inplace")))


def is_activation(function: Any) -> bool:
    """Is this one of torch's rectifiers, in place or not?"""
    return getattr(function, "__name__", "").rstrip("_") in ACTIVATIONS


# Modules, as a checkpoint of YOLO's may hold classes of modules and no others.


class _Enter(nn.Module):
    def __call__(self, *_: Any) -> None:
        _Relu6Instead().__enter__()


class _Leave(nn.Module):
    def __call__(self, *_: Any) -> None:
        # A thread's modes are a stack: this takes off what `_Enter` has put there.
        _Relu6Instead().__exit__(None, None, None)


# Where they hang on a module, and of which class they are there.
ALWAYS = "_forward_hooks_always_called"
HOOKS = {"_forward_pre_hooks": [_Enter], "_forward_hooks": [_Leave], ALWAYS: [bool]}


def clip_activations(module: nn.Module) -> None:
    """Let every activation that `module`, or what is within it, calls be ReLU6."""
    module.register_forward_pre_hook(_Enter())
    module.register_forward_hook(_Leave(), always_call=True)


def is_clipped(module: nn.Module) -> bool:
    """Has `clip_activations` been here?"""
    return any(isinstance(hook, _Enter) for hook in hooks_before(module))
