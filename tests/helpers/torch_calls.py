"""Calls of every torch function that can be exported, in the forms that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from keras_twin import draw
from torch import nn
from torch.overrides import resolve_name


@dataclass(frozen=True)
class X:
    """Where a call gets a tensor of the model; everything else in it is a constant."""

    shape: tuple[int, ...]
    low: float = -4
    high: float = 4


def call(*args: Any, **kwargs: Any) -> tuple[tuple, dict]:
    return args, kwargs


ODD, EVEN = X((1, 4, 7, 9)), X((1, 4, 6, 8))
ROWS = X((2, 5, 6))
POSITIVE = X((1, 4, 7, 9), 0.1, 4)
OTHER = draw(1, 4, 7, 9, seed=9)
COLUMN = draw(4, 1, 1, seed=9)
KERNEL, BIAS = draw(6, 4, 3, 3, low=-1, high=1), draw(6)
EACH = draw(8, 1, 3, 3, low=-1, high=1)  # two filters for each of four channels
GROUPED = draw(6, 2, 3, 3, low=-1, high=1)
TURNED = draw(4, 5, 3, 3, low=-1, high=1)
POOLS = ((2, None, 0), (3, 1, 1), (3, 2, 1), (5, 1, 2), ((2, 3), 2, 0), (5, 2, 2), (5, 3, 2))
NORM = (draw(4), draw(4, low=0.5, high=2))

UNARY = [call(ODD), call(ROWS)]
BINARY = [
    call(ODD, X(OTHER.shape, -3, 3)),
    call(ODD, OTHER),
    call(ODD, COLUMN),
    call(ODD, 1.5),
    call(ODD, torch.tensor(1.5)),
    call(ODD, X((1, 1, 7, 9))),
    call(ODD, X((7, 9))),
    call(ROWS, X((6,))),
    call(X((6,)), ROWS),
    call(X((9,)), ODD),
]
DIVISIONS = [
    call(ODD, X((1, 4, 7, 9), 1, 4)),
    call(ODD, COLUMN),
    call(ODD, 3),
]
REDUCTIONS = [
    *[call(ODD, dim) for dim in (0, 1, 2, -1, (2, 3), (1, 3))],
    *[call(ODD, dim, keepdim=True) for dim in (1, (2, 3), (-2, -1))],
    call(ROWS, 1),
]
FLAT = [
    call(ODD, (1, 36, 7)),
    call(ODD, (1, 4, 63)),
    call(ODD, (1, 2, 2, 63)),
    call(ODD, (1, -1)),
    call(EVEN, (1, 2, 2, 3, 2, 8)),
    call(ROWS, (10, 6)),
]

CALLS: dict[str, list[tuple[tuple, dict]]] = {
    "pad": [
        call(ODD, (1, 2, 0, 3)),
        call(ODD, (1, 2)),
        call(ODD, (1, 2, 1, 1, 0, 2)),
        call(ODD, (1, 2, 0, 3), value=1.5),
        *[call(ODD, pad, mode="replicate") for pad in ((1, 1, 1, 1), (0, 3, 2, 0))],
        call(ODD, (2, 2, 1, 0), mode="reflect"),
        call(ROWS, (1, 2)),
    ],
    "conv2d": [
        *[
            call(x, KERNEL, BIAS, stride, padding)
            for x in (ODD, EVEN)
            for stride in (1, 2, 3, (1, 2))
            for padding in (0, 1, 2, (0, 1))
        ],
        *[call(x, KERNEL, None, 1, padding) for x in (ODD, EVEN) for padding in ("same", "valid")],
        *[call(x, KERNEL, BIAS, 1, 2, 2) for x in (ODD, EVEN)],
        *[call(x, EACH, None, stride, 1, 1, 4) for x in (ODD, EVEN) for stride in (1, 2, (2, 1))],
        *[call(x, GROUPED, BIAS, 1, 1, groups=2) for x in (ODD, EVEN)],
        call(EVEN, draw(6, 4, 2, 2), None, 1, "same"),
    ],
    "conv_transpose2d": [
        *[
            call(x, TURNED, draw(5), stride, padding, extra)
            for x in (ODD, EVEN)
            for stride, padding, extra in ((1, 0, 0), (2, 0, 0), (2, 1, 0), (2, 1, 1), (3, 0, 2))
        ],
        call(ODD, draw(4, 5, 2, 2), None, 2),
        call(ODD, draw(4, 5, 1, 1), None, 2),
        call(ODD, draw(4, 5, 3, 2), None, (2, 1), (1, 0)),
    ],
    "conv_transpose2d_same": [
        call(x, TURNED, bias, stride)
        for x in (ODD, EVEN)
        for bias in (draw(5), None)
        for stride in ((1, 1), (2, 2), (3, 3), (2, 1))
    ],
    "max_pool2d_same": [
        call(x, kernel, stride) for x in (ODD, EVEN) for kernel, stride in ((2, 2), (3, 2), (5, 1))
    ],
    "conv2d_widened": [
        call(x, KERNEL, BIAS, stride, padding, 1)
        for x in (ODD, EVEN)
        for stride in ((1, 1), (2, 2), (3, 3), (2, 1))
        for padding in ((0, 0), (1, 1), (0, 1))
    ],
    "conv_transpose2d_upsampled": [
        call(x, draw(4, 5, k, k), bias, stride, padding, extra)
        for x in (ODD, EVEN)
        for bias in (draw(5), None)
        for k, stride, padding, extra in ((2, 2, 0, 0), (4, 2, 1, 0), (3, 2, 1, 1), (4, 4, 0, 0))
    ],
    "max_pool2d": [
        call(x, kernel, stride, padding, ceil_mode=ceil)
        for x in (ODD, EVEN)
        for kernel, stride, padding in POOLS
        for ceil in (False, True)
    ],
    "avg_pool2d": [
        *[
            call(x, kernel, stride, padding)
            for x in (ODD, EVEN)
            for kernel, stride, padding in ((2, None, 0), (3, 1, 1), (3, 2, 1), ((2, 3), 1, 0))
        ],
        call(EVEN, 2, 2, ceil_mode=True),
    ],
    **dict.fromkeys(
        ("adaptive_avg_pool2d", "adaptive_max_pool2d"),
        [*[call(x, 1) for x in (ODD, EVEN, X((1, 3, 20, 31)), X((1, 3, 1, 5)))], call(ODD, (1, 1))],
    ),
    "interpolate": [
        *[call(x, scale_factor=factor) for x in (ODD, EVEN) for factor in (2.0, 3)],
        call(ODD, size=(14, 9)),
        call(EVEN, size=24),
        call(ODD, scale_factor=(2, 1)),
        call(ODD, scale_factor=2, mode="bilinear", align_corners=False),
        call(EVEN, size=(9, 16), mode="bilinear"),
    ],
    "batch_norm": [
        call(ODD, *NORM, draw(4), draw(4), False, 0.1, 1e-3),
        call(EVEN, *NORM, None, None, False, 0.1, 1e-5),
        call(X((3, 4)), *NORM, draw(4), draw(4), False, 0.1, 1e-3),
    ],
    "linear": [
        call(X((2, 6)), draw(3, 6), draw(3)),
        call(ROWS, draw(3, 6), None),
        call(ODD, draw(3, 9), draw(3)),
    ],
    **dict.fromkeys(
        ("matmul", "__matmul__"),
        [call(ROWS, draw(6, 3)), call(ROWS, X((2, 6, 4))), call(ODD, draw(9, 5))],
    ),
    "bmm": [call(ROWS, X((2, 6, 4)))],
    "softmax": [call(ODD, 1), call(ODD, -1), call(ROWS, 2)],
    **dict.fromkeys(("relu", "sigmoid", "tanh", "neg", "square"), UNARY),
    **dict.fromkeys(("relu6", "silu", "hardswish", "hardsigmoid", "mish", "softplus"), UNARY),
    "hardtanh": [*UNARY, call(ODD, 0.0, 6.0), call(ODD, -2.0, 3.0)],
    "leaky_relu": [*UNARY, call(ODD, 0.1), call(ODD, negative_slope=0.2), call(ODD, 0.0)],
    "gelu": [*UNARY, call(ODD, approximate="tanh")],
    "elu": [*UNARY, call(ODD, 0.7)],
    "exp": UNARY,
    "sqrt": [call(POSITIVE)],
    **dict.fromkeys(
        ("clamp", "clip"), [call(ODD, -1, 2), call(ODD, min=0), call(ODD, max=1.5), call(ROWS, 0.5)]
    ),
    **dict.fromkeys(("add", "sub"), [*BINARY, call(ODD, X((1, 4, 7, 9)), alpha=1)]),
    **dict.fromkeys(("subtract", "mul", "multiply"), BINARY),
    **dict.fromkeys(("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__"), BINARY),
    "rsub": BINARY,
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__"), DIVISIONS),
    "__rtruediv__": [call(POSITIVE, 2.0), call(POSITIVE, COLUMN)],
    **dict.fromkeys(("maximum", "minimum"), [call(ODD, X((1, 4, 7, 9), -3, 3)), call(ODD, OTHER)]),
    **dict.fromkeys(("pow", "__pow__"), [call(ODD, 2), call(ODD, 3), call(POSITIVE, 0.5)]),
    **dict.fromkeys(("mean", "sum", "amax"), [*REDUCTIONS, call(ODD), call(ROWS)]),
    "max": [
        *[call(ODD, dim) for dim in (1, -1)],
        call(ODD, 1, True),
        call(ODD),
        call(ODD, X((1, 4, 7, 9), -3, 3)),
    ],
    **dict.fromkeys(
        ("cat", "concat", "concatenate"),
        [
            call([ODD, X((1, 2, 7, 9))], 1),
            call([ODD, X((1, 4, 7, 2)), ODD], -1),
            call([ODD, OTHER], 1),
            call([OTHER, ODD], 1),
            call([ROWS, ROWS]),
            call([ODD], 1),
        ],
    ),
    "stack": [call([ODD, ODD], 1), call([ROWS, ROWS], -1), call([ODD, ODD])],
    **dict.fromkeys(("reshape", "view"), FLAT),
    "flatten": [call(ODD), call(ODD, 1), call(ODD, 2), call(ODD, 1, 2), call(ROWS, 0, 1)],
    "unsqueeze": [call(ODD, 1), call(ODD, -1), call(ROWS, 0)],
    "squeeze": [call(ODD, 0), call(X((1, 4, 1, 9)), 2), call(X((1, 4, 1, 9))), call(ODD, 1)],
    "permute": [call(ODD, (0, 2, 3, 1)), call(ODD, (3, 1, 0, 2)), call(ROWS, (2, 0, 1))],
    **dict.fromkeys(("transpose", "swapaxes"), [call(ODD, 1, 2), call(ROWS, 1, -1)]),
    "split": [call(ODD, 2, 1), call(ODD, 3, 1), call(ODD, [1, 3], 1), call(ODD, (2, 5), 2)],
    "chunk": [call(ODD, 2, 1), call(ODD, 3, 1), call(ODD, 2, -1), call(ROWS, 2)],
    "unbind": [call(ODD, 1), call(ROWS)],
    "__getitem__": [
        call(ODD, (slice(None), slice(1, 3))),
        call(ODD, (Ellipsis, slice(None, None, 2))),
        call(ODD, (Ellipsis, slice(None, None, 2), slice(1, None, 2))),
        call(ODD, (0, slice(None), -1)),
        call(ODD, (slice(None), None, slice(-2, None))),
        call(ROWS, 1),
        call(ODD, (slice(None),)),
    ],
    **dict.fromkeys(
        ("expand", "broadcast_to"), [call(X((1, 4, 1, 9)), (1, 4, 7, 9)), call(ROWS, (3, 2, 5, 6))]
    ),
    "__setitem__": [
        call(ODD, (Ellipsis, slice(0, 4)), X((1, 4, 7, 4))),
        call(ODD, (slice(None), slice(1, 3)), 1.5),
        call(ODD, (slice(None), slice(2, None)), draw(1, 2, 7, 9)),
    ],
    "expand_as": [call(X((1, 1, 7, 9)), OTHER), call(X((1, 1, 7, 9)), ODD)],
    "pixel_shuffle": [call(ODD, 2), call(X((1, 18, 3, 5)), 3)],
    **dict.fromkeys(
        ("contiguous", "clone", "detach", "float", "cpu", "positive", "requires_grad_"), UNARY
    ),
    "to": [call(ODD, torch.float32), call(ODD, "cpu")],
    "type": [call(ODD, torch.float32)],
    "type_as": [call(ODD, OTHER)],
    **dict.fromkeys(("dropout", "dropout2d"), [call(ODD, 0.5, False), call(ROWS, 0.5, False)]),
}
CALLS["upsample"] = CALLS["interpolate"]
ONE_BY_ONE = {"permute": call(ODD, 0, 2, 3, 1), "view": call(ODD, 1, 36, -1)}


def short(function: Any) -> str:
    return (resolve_name(function) or function.__name__).rpartition(".")[2]


def label(function: Any) -> str:
    return resolve_name(function) or short(function)


class Calling(nn.Module):
    """Calls a torch function as `table.TABLE` holds it, on the model's inputs."""

    def __init__(self, function: Any, args: tuple, kwargs: dict) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, kwargs

    @property
    def inputs(self) -> list[torch.Tensor]:
        found = [x for arg in self.args for x in (arg if isinstance(arg, list) else [arg])]
        found = [x for x in found if isinstance(x, X)]
        return [draw(*x.shape, low=x.low, high=x.high, seed=i) for i, x in enumerate(found)]

    def forward(self, *inputs: Any) -> Any:
        left = list(inputs)
        first, *rest = _filled(self.args, left)
        name = short(self.function)
        if name == "__setitem__":
            changed = first + 0
            changed[rest[0]] = rest[1]
            return changed
        if getattr(torch.Tensor, name, None) is self.function:
            return getattr(first, name)(*rest, **self.kwargs)
        return self.function(first, *rest, **self.kwargs)


def _filled(args: Any, left: list[Any]) -> list[Any]:
    return [
        left.pop(0) if isinstance(arg, X) else _filled(arg, left) if type(arg) is list else arg
        for arg in args
    ]
