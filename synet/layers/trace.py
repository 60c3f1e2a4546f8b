"""What torch functions a built model calls, and whether a chip runs what they become."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from synet.chips import Chip, get_chip
from synet.chips.check import limits, scales
from synet.chips.record import OpRule
from synet.layers.same import pair

IMAGE = 256  # pixels: what YOLO's own constructor runs its layers on


class _Recorder(TorchFunctionMode):
    """Collects, for each torch function called on tensors, what the chip lacks of it."""

    def __init__(self, chip: Chip) -> None:
        from synet.export.lowerings import OPERATIONS, TABLE

        super().__init__()
        self.operations, self.table, self.chip = OPERATIONS, TABLE, chip
        self.problem: str | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.problem is None:
            self.problem = self._check(func, args, kwargs or {}, result)
        return result

    def _check(self, func: Any, args: tuple, kwargs: dict, result: Any) -> str | None:
        name = (resolve_name(func) or getattr(func, "__name__", str(func))).rpartition(".")[2]
        if func not in self.operations:
            results = result if isinstance(result, tuple) else (result,)
            on_values = any(isinstance(r, Tensor) and r.dim() > 0 for r in results)
            return f"{name} cannot be exported" if on_values and _called_on_values(args) else None
        for operation in self.operations[func](*args, **kwargs):
            if operation == "PAD":
                continue  # before a convolution it is 'same' padding, or the export says so
            if operation not in self.chip.ops:
                fix = self.chip.alternatives.get(operation, "use Conv or InvertedResidual")
                return f"{name} becomes {operation}, which {self.chip.name} does not run; {fix}"
            given = inspect.signature(self.table[func]).bind(*args, **kwargs).arguments
            for problem, fix in _exceeded(operation, given, result, self.chip.ops[operation]):
                return f"{problem}; {fix}"
        return None


def _exceeded(
    operation: str, given: Mapping[str, Any], result: Tensor, rule: OpRule
) -> Iterator[tuple[str, str]]:
    """What of an operation is beyond its limits, from the arguments of the torch function."""
    weight, kernel = given.get("weight"), given.get("kernel_size")
    if isinstance(weight, Tensor) and weight.dim() == 4:
        kernel = tuple(weight.shape[2:])
    if kernel is not None:
        options = {
            "kernel": pair(kernel),
            "stride": pair(given.get("stride") or (kernel if weight is None else 1)),
            "dilation": pair(given.get("dilation", 1)),
        }
        yield from limits(operation, options, rule)
    if rule.scales is not None:
        before, after = (tuple(image.shape[2:]) for image in (next(iter(given.values())), result))
        yield from scales(operation, before, after, rule.scales)


def _called_on_values(args: tuple) -> bool:
    return any(isinstance(arg, Tensor) and arg.is_floating_point() for arg in args)


def first_problem(
    layers: Sequence[nn.Module], channels: int, chip: str, head: type[nn.Module]
) -> tuple[int, str] | None:
    """Run the layers of a YOLO one after another, to find the first that the chip cannot run.

    Parameters
    ----------
    layers
        As ``parse_model`` builds them: each has ``f``, the layers that it reads, -1 for the
        one before.
    channels
        Of the image.
    chip
        Name of the chip.
    head
        Class of the detection head. It is ours, and cannot run before it knows its strides.

    Returns
    -------
    Index of the layer and what is wrong with it, or None.
    """
    recorder = _Recorder(get_chip(chip))
    x, outputs = torch.zeros(1, channels, IMAGE, IMAGE), []
    modes = [layer.training for layer in layers]
    try:
        with torch.no_grad():
            for index, layer in enumerate(layers):
                if isinstance(layer, head):
                    break
                if isinstance(layer.f, int):
                    x = x if layer.f == -1 else outputs[layer.f]
                else:
                    x = [x if i == -1 else outputs[i] for i in layer.f]
                layer.eval()
                try:
                    with recorder:
                        x = layer(x)
                except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
                    return index, str(error).partition("\n")[0]
                if recorder.problem:
                    return index, recorder.problem
                outputs.append(x)
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.train(mode)
    return None
