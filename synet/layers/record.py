"""What torch functions a running model calls, and which of them a chip does not run.

A model is run on an image while two things are watched: which modules are running, one within
the other, and which functions they call on *values*, that is on what was computed from the image.
What is computed from weights alone is a constant once the model is exported.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name

from synet.chips import Chip
from synet.chips.check import limits, scales
from synet.chips.record import OpRule
from synet.layers.same import pair, same_padding


@dataclass(frozen=True)
class Problem:
    """A function that the chip does not run: who called it, what is wrong, what to do.

    `stack` holds the running modules, the outermost first; `function` is torch's short name, and
    `operation` the TFLite operation, empty where the function cannot be exported at all.
    """

    stack: tuple[nn.Module, ...]
    function: str
    operation: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.fix}" if self.fix else self.text


@dataclass(frozen=True)
class Call:
    """Shapes of what a module was called with and returned, where both are a single tensor."""

    before: tuple[int, ...] | None
    after: tuple[int, ...] | None

    @property
    def keeps_image(self) -> bool:
        """Does an image go in, and one of the same height and width come out?"""
        shapes = (self.before, self.after)
        return all(s is not None and len(s) == 4 for s in shapes) and (
            self.before[2:] == self.after[2:]
        )


class Recorder(TorchFunctionMode):
    """Within this context, every module that runs is looked at.

    Parameters
    ----------
    chip
        Whose operations count.

    Attributes
    ----------
    problems
        In the order in which the functions were called.
    calls
        The last call of each module that ran.
    """

    def __init__(self, chip: Chip) -> None:
        from synet.export import lowerings  # a table of layers, too

        super().__init__()
        self.export = lowerings
        self.chip = chip
        self.problems: list[Problem] = []
        self.calls: dict[nn.Module, Call] = {}
        self._stack: list[nn.Module] = []
        # Held, so that no other tensor gets their id.
        self._values: dict[int, Tensor] = {}
        self._waiting: dict[int, tuple[int, ...]] = {}  # zeros around H and W, as in KerasProxy
        self._logistic: dict[int, int] = {}  # id of a logistic: id of what it was taken of

    def __enter__(self) -> Recorder:
        self._thread = threading.get_ident()
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for handle in self._handles:
            handle.remove()

    def _before(self, module: nn.Module, args: tuple) -> None:
        if threading.get_ident() == self._thread:
            if not self._stack:
                self._note(args)
            self._stack.append(module)

    def _after(self, module: nn.Module, args: tuple, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._stack.pop()
        if self._of_values(args):
            self._note(output)  # autograd functions answer past us
        self.calls[module] = Call(_shape(args[0] if len(args) == 1 else None), _shape(output))

    def _note(self, value: Any) -> None:
        for tensor in _tensors(value):
            self._values[id(tensor)] = tensor

    def _of_values(self, value: Any) -> bool:
        return any(id(tensor) in self._values for tensor in _tensors(value))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        on_values = self._of_values(args) or self._of_values(tuple(kwargs.values()))
        result = func(*args, **kwargs)
        if on_values:
            self._check(func, args, self.export.torch_names(kwargs), result)
            self._note(result)
        return result

    def _check(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        name = (resolve_name(func) or getattr(func, "__name__", str(func))).rpartition(".")[2]
        if func == torch.Tensor.data.__get__:
            return
        twin = (
            func
            if func in self.export.OPERATIONS
            else getattr(torch.Tensor, name.rstrip("_"), None)
        )
        if twin not in self.export.OPERATIONS:
            # a size or a single number is no value that flows through the network
            if any(tensor.dim() > 0 for tensor in _tensors(result)):
                self._add(name, "", f"{name} cannot be exported")
            return
        given = _arguments(self.export.TABLE[twin], args, kwargs)
        if given is None:
            self._add(name, "", f"{name} cannot be exported like this")
            return
        known = [self._constants_as_arrays(a) for a in args]
        named = {key: self._constants_as_arrays(a) for key, a in kwargs.items()}
        for entry in (*self.export.OPERATIONS[twin](*known, **named), *self._padding(name, given)):
            operation, options = (entry, {}) if isinstance(entry, str) else entry
            if operation not in self.chip.ops:
                fix = self.chip.alternatives.get(operation, "use Conv or InvertedResidual")
                text = f"{name} becomes {operation}, which {self.chip.name} does not run"
                self._add(name, operation, text, fix)
                continue
            for problem, fix in _exceeded(operation, options, self.chip.ops[operation]):
                self._add(name, operation, problem, fix)
        self._remember(twin, name, given, args, result)

    def _constants_as_arrays(self, value: Any) -> Any:
        if isinstance(value, Tensor) and id(value) not in self._values:
            return value.detach().cpu().numpy()
        return value

    def _padding(self, name: str, given: Mapping[str, Any]) -> Iterator[str]:
        """PAD, where the padding of a convolution is not TensorFlow's 'same'."""
        x, weight = next(iter(given.values())), given.get("weight")
        if name != "conv2d" or not isinstance(weight, Tensor):
            return
        waiting = self._waiting.get(id(x), (0, 0, 0, 0))
        stride, dilation = pair(given.get("stride", 1)), pair(given.get("dilation", 1))
        padding = given.get("padding", 0)
        for axis in (0, 1):
            before, after = waiting[2 * axis : 2 * axis + 2]
            size = x.shape[2 + axis] - before - after
            own = same_padding(size, weight.shape[2 + axis], stride[axis], dilation[axis])
            if padding == "same":  # torch's is TensorFlow's, but for zeros that wait
                padded = (before + own[0], after + own[1])
            else:
                p = 0 if padding == "valid" else pair(padding)[axis]
                padded = (before + p, after + p)
            if padded != own:
                yield "PAD"
                return

    def _remember(
        self, twin: Any, name: str, given: Mapping[str, Any], args: tuple, result: Any
    ) -> None:
        """What a later function will want to know of this one."""
        x = args[0] if args else None
        if name == "pad":
            zeros = _zeros_around(**given)
            if zeros is not None:
                self._waiting[id(result)] = tuple(
                    a + b for a, b in zip(self._waiting.get(id(x), (0,) * 4), zeros, strict=True)
                )
        elif (
            self.export.TABLE[twin] in self.export.KEEPS_PADDING
            and name != "conv2d"  # which takes the zeros in
            and id(x) in self._waiting
        ):
            self._waiting[id(result)] = self._waiting[id(x)]
        if name.rstrip("_") == "sigmoid":
            self._logistic[id(result)] = id(x)
        gated = "mul" in name and any(
            self._logistic.get(id(a)) == id(b) for a, b in (args[:2], args[1::-1])
        )
        if gated or name.rstrip("_") == "silu":
            fix = f"use {self.chip.activation}"
            self._add(name, "MUL", "the activation is SiLU (x times its logistic)", fix)

    def _add(self, function: str, operation: str, text: str, fix: str = "") -> None:
        self.problems.append(Problem(tuple(self._stack), function, operation, text, fix))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _arguments(function: Any, args: tuple, kwargs: dict) -> Mapping[str, Any] | None:
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return None


def _zeros_around(
    x: Tensor, pad: Any, mode: str = "constant", value: float | None = None
) -> tuple[int, ...] | None:
    """Zeros (top, bottom, left, right) that ``F.pad`` puts around images; None for the rest."""
    pad = [int(n) for n in pad] + [0] * (8 - len(pad))
    if mode != "constant" or value or x.dim() != 4 or any(pad[4:]) or min(pad) < 0:
        return None
    return (*pad[2:4], *pad[:2])


def _exceeded(
    operation: str, options: Mapping[str, Any], rule: OpRule
) -> Iterator[tuple[str, str]]:
    """What of an operation is beyond its limits."""
    if "kernel" in options:
        yield from limits(operation, {"stride": (1, 1), **options}, rule)
    if rule.scales is not None and "before" in options:
        yield from scales(operation, options["before"], options["after"], rule.scales)
