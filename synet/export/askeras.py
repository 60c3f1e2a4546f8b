"""The `askeras` context: inside it, torch modules take Keras tensors and give Keras tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

import synet.export.lowerings  # noqa: F401 - fills the table
from synet.chips import Chip, get_chip
from synet.export.context import PADDING, Context
from synet.export.proxy import holds_keras, unwrap, wrap
from synet.export.registry import whole_pair
from synet.layers.exporting import become_current, current, exporting
from synet.layers.heads import stand_ins
from synet.layers.paths import path_of, paths_of
from synet.system.errors import ExportError


class askeras(Context):  # noqa: N801 - used as ``with askeras(...)``, beside ``torch.no_grad``
    """Within this context a torch module called with a Keras tensor returns Keras tensors.

    The module runs its own ``forward``; every torch function that it calls is answered by
    the Keras layer that does the same (`synet.export.registry`). Works for any module whose
    functions are in the table. What is exported is inference: a module that is in training
    mode runs as after ``eval()``, and is back in training mode afterwards. A network that was built
    under SyNet's patch has its detection head, whichever YOLO's it is, answer in the form that a
    chip runs (`synet.layers.heads`).

    Parameters
    ----------
    imgsz
        Height and width of the input in pixels. None takes whatever comes.
    chip
        Name of the chip whose limits the operations keep to where that changes no number. None:
        the one that the network was built for.

    Raises
    ------
    ExportError
        A torch function that has no Keras twin (named with module path and source line), an
        input of another size, a context within a context.

    Examples
    --------
    >>> import keras
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU6())
    >>> image = keras.Input((48, 64, 1), batch_size=1)  # NHWC
    >>> with synet.askeras(imgsz=(48, 64)):
    ...     keras_model = keras.Model(image, network(image))
    >>> keras_model.output_shape
    (1, 48, 64, 8)

    Notes
    -----
    Keras tensors are channels last. A torch tensor of four dimensions (N, C, H, W) enters
    and leaves as (N, H, W, C); any other rank keeps torch's order of axes.
    """

    def __init__(self, imgsz: tuple[int, int] | None = None, chip: str | None = None) -> None:
        super().__init__(None if chip is None else get_chip(chip))
        self.imgsz = None if imgsz is None else whole_pair(imgsz)
        self._handles: list[Any] = []
        self._stack: list[nn.Module] = []
        self._paths: dict[int, str] = {}
        self._undo: list[Callable[[], None]] = []
        self._names: Counter[str] = Counter()
        self.image_shape = self.imgsz

    def __enter__(self) -> askeras:
        if exporting():
            raise ExportError("askeras() within askeras(): leave the first one before the second")
        become_current(self)
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
        self._restore()
        become_current(None)

    def _mine(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def only_in_my_thread(*args: Any) -> Any:
            return hook(*args) if current() is self else None

        return only_in_my_thread

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._stack.append(module)
        if len(self._stack) > 1 or not holds_keras(args):
            return args
        self._paths = paths_of(module)
        args = wrap(args, self.imgsz)
        if self.imgsz is None:
            image = args[0] if len(args) == 1 and getattr(args[0], "ndim", 0) == 4 else None
            self.image_shape = None if image is None else whole_pair(image.shape[2:])
        self._prepare(module)
        if self.chip is None and (name := getattr(module, "synet", {}).get("chip")):
            self._set_chip(get_chip(name))
        return args

    def _set_chip(self, chip: Chip | None) -> None:
        """The chip of the network that is running, until the call is over."""
        self._undo.append(partial(setattr, self, "chip", self.chip))
        self.chip = chip

    def _prepare(self, module: nn.Module) -> None:
        """Let `module` run as in inference, with what stands in for its head."""
        for each in module.modules():
            if each.training:
                self._set(each, "training", False)
        for each, answer in stand_ins(module, self.image_shape).items():
            self._set(each, "forward", answer)

    def _set(self, module: nn.Module, name: str, value: Any) -> None:
        """Set an attribute of this very module until the call is over."""
        attributes = vars(module)
        if name in attributes:
            self._undo.append(partial(attributes.__setitem__, name, attributes[name]))
        else:
            self._undo.append(partial(attributes.__delitem__, name))
        attributes[name] = value

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        try:
            return unwrap(output) if len(self._stack) == 1 else output
        finally:
            self._stack.pop()
            if not self._stack:
                self._restore()

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()

    @property
    def kit(self) -> Any:
        """What lowerings build with."""
        import keras

        return keras

    def tell(self, now: str, why: str) -> None:
        """Whoever checked the network for the chip has been told (`synet.safety.mend`)."""

    def refusal(self, text: str) -> ExportError:
        """An error that says where the network is."""
        return ExportError(f"{text}: {where()}")

    @property
    def path(self) -> str:
        """Path of the module that is running, as in ``model.named_modules()``."""
        return path_of(self._stack, self._paths)

    def layer_name(self, function: str) -> str:
        """A Keras layer name: the module path, and the function where the module is no leaf.

        A convolution has the name of its module, and what pads the image for it has not.
        """
        leaf = self._stack and not any(True for _ in self._stack[-1].children())
        leaf = leaf and function != PADDING
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
    ours = (torch.__path__[0], __file__.removesuffix("askeras.py"))
    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(ours)]
    line = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown line"
    return f"{context.path or 'the model'} ({module}), {line}"
