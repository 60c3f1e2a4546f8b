"""The `askeras` context: inside it, torch modules take Keras tensors and give Keras tensors."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from synet.errors import ExportError

_local = threading.local()


def exporting() -> bool:
    """Is this thread inside ``with askeras(...)``?"""
    return getattr(_local, "context", None) is not None


def current() -> askeras:
    """This thread's context."""
    return _local.context


class askeras:  # noqa: N801 - used as ``with askeras(...)``, beside ``torch.no_grad``
    """Within this context a torch module called with a Keras tensor returns Keras tensors.

    The module runs its own ``forward``; every torch function that it calls is answered by
    the Keras layer that does the same (`synet.export.table`). Works for any module whose
    functions are in the table. What is exported is inference: a module that is in training
    mode runs as after ``eval()``, and is back in training mode afterwards.

    Parameters
    ----------
    imgsz
        Height and width of the input in pixels. None takes whatever comes.

    Raises
    ------
    ExportError
        A torch function that has no Keras twin (named with module path and source line), an
        input of another size, a context within a context.

    Examples
    --------
    >>> inp = keras.Input((240, 320, 1), batch_size=1)           # NHWC
    >>> with askeras(imgsz=(240, 320)):
    ...     keras_model = keras.Model(inp, torch_model(inp))

    Notes
    -----
    Keras tensors are channels last. A torch tensor of four dimensions (N, C, H, W) enters
    and leaves as (N, H, W, C); any other rank keeps torch's order of axes.
    """

    def __init__(self, imgsz: tuple[int, int] | None = None) -> None:
        self.imgsz = tuple(imgsz) if imgsz is not None else None
        self._handles: list[Any] = []
        self._stack: list[nn.Module] = []
        self._paths: dict[int, str] = {}
        self._trained: list[nn.Module] = []
        self._names: Counter[str] = Counter()

    def __enter__(self) -> askeras:
        if exporting():
            raise ExportError("askeras() within askeras(): leave the first one before the second")
        _local.context = self
        # torch's global hooks are shared by all threads: each asks for its own context first.
        self._handles = [
            register_module_forward_pre_hook(self._mine(self._before)),
            register_module_forward_hook(self._mine(self._after), always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._stack.clear()
        self._back_to_training()
        _local.context = None

    def _mine(self, hook: Callable) -> Callable:
        def only_in_my_thread(*args: Any) -> Any:
            return hook(*args) if getattr(_local, "context", None) is self else None

        return only_in_my_thread

    def _before(self, module: nn.Module, args: tuple) -> tuple:
        from synet.export.proxy import holds_keras, wrap

        self._stack.append(module)
        if len(self._stack) > 1 or not holds_keras(args):
            return args
        self._trained = [m for m in module.modules() if m.training]
        for each in self._trained:
            each.training = False
        self._paths = {id(m): name for name, m in reversed(list(module.named_modules()))}
        return wrap(args, self.imgsz)

    def _after(self, module: nn.Module, args: tuple, output: Any) -> Any:
        from synet.export.proxy import unwrap

        try:
            return unwrap(output) if len(self._stack) == 1 else output
        finally:
            self._stack.pop()
            if not self._stack:
                self._back_to_training()

    def _back_to_training(self) -> None:
        for module in self._trained:
            module.training = True
        self._trained = []

    @property
    def path(self) -> str:
        """Path of the module that is running, as in ``model.named_modules()``."""
        named = [m for m in self._stack if id(m) in self._paths]
        return self._paths[id(named[-1])] if named else ""

    def layer_name(self, function: str) -> str:
        """A Keras layer name: the module path, and the function where the module is no leaf."""
        leaf = self._stack and not any(True for _ in self._stack[-1].children())
        name = ".".join(
            part for part in (self.path, "" if leaf and self.path else function) if part
        )
        if "." not in name:  # names of one word are those that Keras gives to its own operations
            name = f"{type(self._stack[0]).__name__}.{name}"
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name] - 1}"


def where() -> str:
    """The running module and the line of its code: ``model.24 (Detect), models/yolo.py:57``."""
    import traceback

    context = current()
    module = type(context._stack[-1]).__name__ if context._stack else "module"
    ours = (torch.__path__[0], __file__.removesuffix("context.py"))
    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(ours)]
    line = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown line"
    return f"{context.path or 'the model'} ({module}), {line}"
