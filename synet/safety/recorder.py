"""What torch functions a running model calls, and which of them a chip does not run.

A model is run on an image while two things are watched: which modules are running, one within
the other, and which functions they call on *values*, that is on what was computed from the image.
What is computed from weights alone is a constant once the model is exported.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name

import synet.export.lowerings  # noqa: F401 - fills the table
from synet.chips import Chip
from synet.export.proxy import NCHW, KerasProxy
from synet.export.registry import lowering_of
from synet.export.sketch import Sketch
from synet.export.sketching import Operation, Sketching
from synet.system.errors import ExportError
from synet.verdict.check import is_padded_otherwise, limits


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


@dataclass(frozen=True)
class Note:
    """What a function is exported as, the same numbers at another cost, and why."""

    stack: tuple[nn.Module, ...]
    now: str
    text: str


_FOR_ANYTHING = "use Conv or InvertedResidual"
Known = dict[int, tuple[Tensor, Any]]  # a value by its id, held, and its proxy


class Recorder(TorchFunctionMode):
    """Within this context, every module that runs is looked at.

    What torch computes is lowered as in an export, on shapes alone (`synet.export.sketching`): what
    the export refuses, and what of its operations the chip does not run, are the problems.

    Parameters
    ----------
    chip
        Whose operations count.
    known
        Values that other runs have left, with their proxies.

    Attributes
    ----------
    problems, notes, operations
        In the order in which the functions were called.
    calls
        The last call of each module that ran.
    """

    def __init__(self, chip: Chip, known: Known | None = None) -> None:
        super().__init__()
        self.chip = chip
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.operations: list[Operation] = []
        self.calls: dict[nn.Module, Call] = {}
        self._sketching = Sketching(chip)
        self._stack: list[nn.Module] = []
        self._values: Known = dict(known or {})

    def known(self, value: Any) -> Known:
        """The tensors of `value` that were computed here."""
        return {id(t): self._values[id(t)] for t in _tensors(value) if id(t) in self._values}

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
        self.problems = [
            problem if problem.operation or problem.fix else self._with_stand_in(problem)
            for problem in self.problems
        ]

    def _with_stand_in(self, problem: Problem) -> Problem:
        """A function without a twin, and a layer of ours in place of the module that calls it.

        What each module was called with is known only when it has returned.
        """
        for module in reversed(problem.stack):
            if module in self.calls and self.calls[module].keeps_image:
                layer = "BatchNorm" if problem.function.endswith("norm") else "Mixer"
                place = type(module).__name__
                fix = f"synet.layers.{layer} can take the place of {place}, with training"
                return replace(problem, fix=fix)
        return replace(problem, fix=_FOR_ANYTHING)

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
        """Tensors whose making nobody has seen are values, stored as an image is."""
        for tensor in _tensors(value):
            self._values.setdefault(id(tensor), (tensor, _proxy(tensor)))

    def _of_values(self, value: Any) -> bool:
        return any(id(tensor) in self._values for tensor in _tensors(value))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        on_values = self._of_values((args, kwargs))
        result = func(*args, **kwargs)
        if on_values and not _is_asked(func):
            self._lower(func, args, kwargs, result)
        return result

    def _lower(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        """Export one function, on shapes."""
        name, made = _name(func), None
        try:
            if name == "data":  # the tensor itself, without a gradient
                func = torch.Tensor.detach
            if lowering_of(func) is None:
                raise ExportError(f"{name} cannot be exported")
            made = self._sketching.answer(func, self._proxied(args), self._proxied(kwargs))
        except ExportError as error:
            self._add(name, "", str(error))
        else:
            self._judge(name)
        proxies, tensors = list(_leaves(made)), list(_tensors(result))
        if [tuple(p.shape) for p in proxies] != [tuple(t.shape) for t in tensors]:
            proxies = [_proxy(tensor) for tensor in tensors]
        for tensor, proxy in zip(tensors, proxies, strict=True):
            self._values[id(tensor)] = (tensor, proxy)

    def give(self, output: Any) -> None:
        """Look at what `output` becomes as an output of the whole network."""
        try:
            self._sketching.give(self._proxied(output))
        except ExportError as error:
            self._add("output", "", str(error))
        else:
            self._judge("the output")

    def _proxied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._values.get(id(value), (None, value))[1]
        if isinstance(value, Mapping):
            return {key: self._proxied(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self._proxied(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return value

    def _judge(self, name: str) -> None:
        """Compare what a function becomes with what the chip runs."""
        self.operations += self._sketching.operations
        for operation, options in _padded(self._sketching.operations, self.chip):
            if operation not in self.chip.ops:
                fix = self.chip.alternatives.get(operation, _FOR_ANYTHING)
                text = f"{name} becomes {operation}, which {self.chip.name} does not run"
                self._add(name, operation, text, fix)
                continue
            for problem, fix in limits(operation, options, self.chip):
                self._add(name, operation, problem, fix)
        self.notes += [Note(tuple(self._stack), *note) for note in self._sketching.notes]

    def _add(self, function: str, operation: str, text: str, fix: str = "") -> None:
        self.problems.append(Problem(tuple(self._stack), function, operation, text, fix))


def _padded(operations: Sequence[Operation], chip: Chip) -> Iterator[Operation]:
    """`operations`, where windows that are not padded as the chip does it need a PAD."""
    padded = False
    for operation, options in operations:
        other = operation in chip.ops and is_padded_otherwise(operation, options, chip)
        if (other or operation == "PAD") and not padded:
            padded = True
            yield "PAD", {}
        if operation != "PAD":
            yield operation, {**options, "padding": None} if other else options


def _name(func: Any) -> str:
    """Torch's short name of a function, or of an attribute that is asked for."""
    owner = getattr(func, "__self__", None)
    if inspect.isgetsetdescriptor(owner):
        return owner.__name__
    return (resolve_name(func) or getattr(func, "__name__", str(func))).rpartition(".")[2]


def _is_asked(func: Any) -> bool:
    """Is it a question about a tensor, which a `KerasProxy` answers by itself?"""
    return _name(func) in KerasProxy.ANSWERS


def _proxy(tensor: Tensor) -> KerasProxy:
    """A proxy that is stored in the order of an image if it has its rank."""
    axes = NCHW if tensor.dim() == 4 else range(tensor.dim())
    stored = sorted(range(tensor.dim()), key=lambda dim: axes[dim])
    return KerasProxy(Sketch([tensor.shape[dim] for dim in stored]), axes)


def _leaves(value: Any) -> Iterator[KerasProxy]:
    if isinstance(value, KerasProxy):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)


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
