"""A model's graph against a chip's record: every reason why it would not run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synet.chips.record import Chip

if TYPE_CHECKING:
    from synet.tflite.graph import Graph, Operator

COLOURS = 3
IMAGE, OPERATION, WEIGHTS, ACTIVATIONS = "image", "operation", "weights", "activations"
_INDEX_DTYPES = ("int32", "int64")  # constants that say where to slice or how to reshape


@dataclass(frozen=True)
class Violation:
    """One reason why a chip cannot run a model: which layer, what is wrong, what mends it.

    `kind` is what is not as the chip has it: `IMAGE`, `OPERATION`, `WEIGHTS` or `ACTIVATIONS`.
    """

    where: str
    problem: str
    fix: str
    kind: str = OPERATION

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}; {self.fix}"


def violations(graph: Graph, chip: Chip) -> list[Violation]:
    """What of `graph` is not as the chip's file has it: operations in order, memory last.

    Empty if it fits. Of a chip with a compiler the file says nothing of memory: see
    `synet.verdict.judge`.
    """
    return [*wrong_images(graph, chip), *wrong_operations(graph, chip), *overflows(graph, chip)]


def wrong_operations(graph: Graph, chip: Chip) -> Iterator[Violation]:
    """The operations that the chip's file does not have, or not like this, in execution order."""
    for operator in graph.operators:
        for problem, fix in problems_of(graph, operator, chip):
            yield Violation(operator.layer, problem, fix)


def kib(count: int) -> str:
    """A number of bytes in KiB."""
    return f"{count / 1024:.1f} KiB"


def wrong_images(graph: Graph, chip: Chip) -> Iterator[Violation]:
    """The inputs with more channels than the chip's camera has."""
    for number in graph.inputs:
        tensor = graph.tensors[number]
        channels = tensor.shape[-1] if len(tensor.shape) == 4 else 0
        if channels > COLOURS >= tensor.shape[1]:
            fix = "export it with the channels last, as the camera gives them"
            yield Violation("input", "the image has its channels first", fix, IMAGE)
        elif channels > chip.image_channels:
            yield Violation(
                "input",
                f"the image has {channels} channels, {chip.name} gives {chip.image_channels}",
                chip.alternatives.get("IMAGE", f"export it for an image of {chip.image_channels}"),
                IMAGE,
            )


def overflows(graph: Graph, chip: Chip) -> Iterator[Violation]:
    """What of weights and activations is beyond the limits of the chip's file."""
    if chip.compiler:
        return
    if graph.weight_bytes > chip.weights_max_bytes:
        yield too_many_weights(graph.weight_bytes, chip.weights_max_bytes, chip)
    peak, at = graph.peak_activation()
    if peak > chip.activations_max_bytes:
        yield too_many_activations(graph.operators[at].layer, peak, chip)


def too_many_activations(layer: str, peak: int, chip: Chip) -> Violation:
    """The violation of a model that holds `peak` bytes of activations at once, at `layer`."""
    return Violation(
        layer,
        f"{kib(peak)} of activations alive at once, {chip.name} has "
        f"{kib(chip.activations_max_bytes)}",
        "use fewer channels here, a stride earlier, or a smaller image",
        ACTIVATIONS,
    )


def too_many_weights(weights: int, limit: int, chip: Chip) -> Violation:
    """The violation of a model of so many bytes of weights."""
    return Violation(
        "weights",
        f"{kib(weights)}, {chip.name} has {kib(limit)}",
        "use fewer layers, or fewer channels in the widest of them",
        WEIGHTS,
    )


def problems_of(graph: Graph, operator: Operator, chip: Chip) -> Iterator[tuple[str, str]]:
    """What the chip's file does not have of one operation, each with its fix."""
    name, options = operator.name, operator.options
    if name not in chip.ops:
        advice = chip.alternatives.get(name, f"build it from {', '.join(chip.ops)}")
        yield f"{name} does not run on {chip.name}", advice
        return
    yield from limits(name, _known(graph, operator), chip)
    yield from _dtypes(graph, operator, chip)
    if options.get("activation", "NONE").lower() not in ("none", chip.activation):
        yield f"{name} with {options['activation']} fused into it", f"use {chip.activation}"


def _known(graph: Graph, operator: Operator) -> dict[str, Any]:
    """The options of an operation, and what of its tensors the chip may limit."""
    before, after = (
        graph.tensors[numbers[0]].shape if numbers else ()
        for numbers in (operator.inputs, operator.outputs)
    )
    silu = operator.name == "MUL" and any(
        other.name == "LOGISTIC" and {*other.inputs, *other.outputs} == {*operator.inputs}
        for other in graph.operators
    )
    return {**operator.options, "before": before[1:3], "after": after[1:3], "silu": silu}


def limits(name: str, options: Mapping[str, Any], chip: Chip) -> Iterator[tuple[str, str]]:
    """What of an operation is beyond the chip's limits, with fixes.

    `options` has what is known of its kernel, stride, dilation and padding, of the image's height
    and width before and after, and whether it is ``silu``: x times its logistic.
    """
    rule = chip.ops[name]
    kernel = options.get("kernel", (1, 1))
    limit = rule.kernel_max
    if limit is not None and max(kernel) > limit:
        yield (
            f"{name} with kernel {kernel[0]}x{kernel[1]}, the limit is {limit}x{limit}",
            _smaller_kernel(name, options, limit),
        )
    for key, allowed in (("stride", rule.strides), ("dilation", rule.dilations)):
        value = options.get(key, (1, 1))
        if allowed is not None and not set(value) <= set(allowed):
            yield (
                f"{name} with {key} {value[0]}x{value[1]}",
                f"use a {key} of {_choice(allowed)}",
            )
    if rule.scales is not None and "after" in options:
        yield from scales(name, options["before"], options["after"], rule.scales)
    if is_padded_otherwise(name, options, chip):
        yield f"{name} with padding {options['padding']}", f"use padding {_choice(chip.padding)}"
    if options.get("silu"):
        yield "the activation is SiLU (x times its logistic)", f"use {chip.activation}"


def _smaller_kernel(name: str, options: Mapping[str, Any], limit: int) -> str:
    kernel, stride = options["kernel"], options["stride"]
    # Maxima of maxima: a stride-1 pool of size k is (k - 1) / (limit - 1) pools of the limit.
    count, rest = divmod(max(kernel) - 1, max(limit - 1, 1))
    if name == "MAX_POOL_2D" and stride == (1, 1) and kernel[0] == kernel[1] and not rest:
        return f"stack {count} pools of {limit}x{limit} and stride 1, which is the same"
    return f"use a kernel of at most {limit}x{limit}"


def _dtypes(graph: Graph, operator: Operator, chip: Chip) -> Iterator[tuple[str, str]]:
    for number in (*operator.inputs, *operator.outputs):
        tensor = graph.tensors[number]
        role = {operator.weights: "weights", operator.bias: "biases"}.get(number, "activations")
        is_shape = role == "activations" and tensor.is_constant and tensor.dtype in _INDEX_DTYPES
        allowed = chip.dtypes[role]
        if tensor.dtype not in allowed and not is_shape:
            yield (
                f"{operator.name} with {role} of {tensor.dtype}, not {_choice(allowed)}",
                "quantize the model with `synet quantize`",
            )
            return


def scales(
    name: str, before: tuple[int, ...], after: tuple[int, ...], allowed: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """Whether resizing from height and width `before` to `after` is by no allowed factor."""
    if not any(after == tuple(size * scale for size in before) for scale in allowed):
        yield (
            f"{name} from {before[0]}x{before[1]} to {after[0]}x{after[1]}",
            f"resize by a factor of {_choice(allowed)}, several times for more",
        )


def is_padded_otherwise(name: str, options: Mapping[str, Any], chip: Chip) -> bool:
    """Whether its padding is not the chip's, and that differs; a 1x1 kernel reads no border."""
    if options.get("padding") in (None, *chip.padding):
        return False
    if name == "TRANSPOSE_CONV":
        return True
    axes = zip(
        *(options["before"], options["kernel"], options["stride"]),
        options.get("dilation", (1, 1)),
        strict=True,
    )
    return any((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 > n for n, k, s, d in axes)


def _choice(values: tuple[object, ...]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last
