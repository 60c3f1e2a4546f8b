"""What a fork's calls of its own ``Conv`` mean, whatever it calls the parameters.

Most forks have YOLO's ``Conv(c1, c2, k, s, p, g, ...)``, with the activation seventh up to YOLOv5
v6.2 and the dilation seventh later; those are told apart by type. A fork with names or an order
of its own is bound by its own signature, which the patch hands to `adopt`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from synet.errors import ChipError

YOLO_ORDER = ("c1", "c2", "k", "s", "p", "g")
SYNONYMS = {
    "c1": {"c1", "cin", "in_c", "in_ch", "ch_in", "nin", "inp", "inplanes", "in_planes"}
    | {"in_channels", "in_channel", "in_dim", "in_features"},
    "c2": {"c2", "cout", "out_c", "out_ch", "ch_out", "nout", "oup", "outplanes", "out_planes"}
    | {"out_channels", "out_channel", "out_dim", "out_features"},
    "k": {"k", "kernel", "kernel_size", "ksize", "ks"},
    "s": {"s", "stride", "strides"},
    "p": {"p", "pad", "padding"},
    "g": {"g", "group", "groups"},
    "d": {"d", "dilation", "dil"},
    "act": {"act", "activation", "act_layer", "act_type", "with_act", "relu"},
}
OURS = {name: ours for ours, names in SYNONYMS.items() for name in names}
NO_ACTIVATION = {"", "none", "linear", "identity"}


class ConvArguments(NamedTuple):
    """What a convolution is built from; `act` says whether an activation follows."""

    c1: int
    c2: int
    k: Any = 1
    s: Any = 1
    p: Any = None
    g: int = 1
    d: int = 1
    act: bool = True


# Signatures of forks that have names or an order of their own, the last one first.
_adopted: list[inspect.Signature] = []


def adopt(old: type) -> Callable[[], None]:
    """Understand calls that follow the constructor of `old`; what is returned forgets it."""
    signature = inspect.signature(old)
    names = [OURS.get(name, name) for name in signature.parameters]
    standard = [n for n in names if n in YOLO_ORDER] == [*YOLO_ORDER[: len(names)]]
    if standard and {*signature.parameters} <= {*YOLO_ORDER, "d", "act"}:
        return lambda: None
    _adopted.insert(0, signature)
    return lambda: _adopted.remove(signature)


def conv_arguments(args: tuple, kwargs: Mapping[str, Any]) -> ConvArguments:
    """The arguments of a call by their meaning.

    Raises
    ------
    TypeError
        They fit no signature.
    ChipError
        The fork's own parameters ask for something that `Conv` does not have.
    """
    for signature in _adopted:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            continue
        return _by_meaning(signature, bound.arguments)
    return _standard(*args, **kwargs)


def _standard(
    c1: int,
    c2: int,
    k: Any = 1,
    s: Any = 1,
    p: Any = None,
    g: int = 1,
    *rest: Any,
    d: int = 1,
    act: Any = True,
) -> ConvArguments:
    for value in rest:
        if isinstance(value, int) and not isinstance(value, bool):
            d = value
        else:
            act = value
    return ConvArguments(c1, c2, k, s, p, g, d, _activates(act))


STANDARD = inspect.signature(_standard)


def _by_meaning(signature: inspect.Signature, given: Mapping[str, Any]) -> ConvArguments:
    values = {}
    for position, (name, value) in enumerate(given.items()):
        ours = OURS.get(name) or (YOLO_ORDER[position] if position < 4 else None)
        if ours is not None:
            values[ours] = value
        elif value != signature.parameters[name].default:
            raise ChipError(
                f"Conv({name}={value!r}): a convolution for a chip has no {name!r}; leave it out"
            )
    values["act"] = _activates(values.get("act", True))
    return ConvArguments(**values)


def _activates(act: Any) -> bool:
    if isinstance(act, str):
        return act.lower() not in NO_ACTIVATION
    return not (act is False or act is None or isinstance(act, nn.Identity) or act is nn.Identity)
