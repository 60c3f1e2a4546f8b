"""What a fork's calls of its own ``Conv`` mean, whatever it calls the parameters.

Most forks have YOLO's ``Conv(c1, c2, k=1, s=1, p=None, g=1, ...)``, which `Conv` of SyNet has as
well. One with names, an order or defaults of its own keeps them: a `Binding` reads its calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from synet.system.errors import UnfitError

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
PLACES = ("c1", "c2", "k", "s")  # what parameters mean whose names nobody knows
NO_ACTIVATION = {"", "none", "linear", "identity"}
# What `Conv` is anyway: a fork that asks for it in so many words asks for nothing.
AS_IT_IS = {"bias": False, "use_bias": False, "bn": True, "norm": True, "use_bn": True}


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


@dataclass(frozen=True)
class Binding:
    """How the calls of one fork's class are read.

    Parameters
    ----------
    signature
        Of its constructor.
    meanings
        By parameter: which of `ConvArguments` it is. Others have none.
    own
        What the class does where no parameter says it, or one whose default tells nothing:
        ``padding=0`` may stand for half of the kernel, ``act=None`` for a SiLU.
    """

    signature: inspect.Signature
    meanings: Mapping[str, str]
    own: Mapping[str, Any]

    @classmethod
    def of(cls, old: type) -> Binding | None:
        """The binding of a fork's class; None where it is called as YOLO's own are.

        The class is asked for small convolutions, so this comes before anything in the fork is
        swapped: ``super(Conv, self)`` looks its own name up.
        """
        signature = inspect.signature(old)
        parameters = [name for name, p in signature.parameters.items() if p.kind not in _VARIADIC]
        meanings = {name: OURS[name] for name in parameters if name in OURS}
        for name, ours in zip(parameters, PLACES):  # noqa: B905 - there may be more of either
            if name not in OURS and ours not in meanings.values():
                meanings[name] = ours
        if not {"c1", "c2"} <= {*meanings.values()} or _is_standard(signature):
            return None
        sample = _Sample(old, {ours: name for name, ours in meanings.items()})
        if sample.exchanges_kernel_and_stride():
            other = {"k": "s", "s": "k"}
            meanings = {name: other.get(ours, ours) for name, ours in meanings.items()}
        return cls(signature, meanings, sample.own(signature))

    def channels(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int]:
        """Channels of input and output that a call asks for, whatever else it leaves out."""
        given = self.signature.bind_partial(*args, **kwargs).arguments
        named = {self.meanings.get(name): value for name, value in given.items()}
        return named["c1"], named["c2"]

    def __call__(self, args: tuple, kwargs: Mapping[str, Any]) -> ConvArguments:
        """The arguments of a call by their meaning, with the fork's own defaults.

        Raises
        ------
        TypeError
            They do not fit the fork's signature.
        UnfitError
            Parameters that only the fork has ask for something that `Conv` does not have.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict(self.own)
        for name, value in _spread(bound).items():
            parameter = self.signature.parameters.get(name)
            default = parameter.default if parameter else parameter
            ours = self.meanings.get(name) if parameter else OURS.get(name)
            if ours is None:
                _refuse_unless(name, value, (default, AS_IT_IS.get(name, default)))
            elif value is not default or ours not in self.own:
                values[ours] = value
        values["act"] = activates(values.get("act", True))
        return ConvArguments(**values)


def activates(act: Any) -> bool:
    """Does what a fork hands over as the activation of a convolution stand for one?"""
    if isinstance(act, str):
        return act.lower() not in NO_ACTIVATION
    return not (act is False or act is None or isinstance(act, nn.Identity) or act is nn.Identity)


def built(build: Callable[[], object]) -> nn.Module | None:
    """What `build` makes, without moving the user's random numbers; None where it fails."""
    with torch.random.fork_rng(devices=[]):
        try:
            made = build()
        except Exception:  # the constructor of another kind of class
            return None
    return made if isinstance(made, nn.Module) else None


class _Sample:
    """Small convolutions that a fork's own class builds, to see what it does."""

    def __init__(self, old: type, names: Mapping[str, str]) -> None:
        self.old, self.names = old, names

    def made(self, **wanted: int) -> nn.Module | None:
        given = {"c1": 4, "c2": 8} | wanted
        return built(lambda: self.old(**{self.names[ours]: v for ours, v in given.items()}))

    def exchanges_kernel_and_stride(self) -> bool:
        """Did the places of parameters mislead, whose names nobody knows?"""
        if {self.names.get("k"), self.names.get("s")} & {None, *OURS}:
            return False
        conv = _convolution(self.made(k=3, s=2))
        return conv is not None and (conv.kernel_size, conv.stride) == ((2, 2), (3, 3))

    def own(self, signature: inspect.Signature) -> dict[str, Any]:
        """What no parameter says, and what defaults stand for that tell nothing."""
        defaults = {ours: signature.parameters[name].default for ours, name in self.names.items()}
        required = {
            ours: size
            for ours, size in (("k", 3), ("s", 1))
            if defaults.get(ours) is signature.empty
        }
        module = self.made(**required)
        conv, own = _convolution(module), {}
        if conv is not None:
            form = {"k": conv.kernel_size, "s": conv.stride, "d": conv.dilation[0]}
            own = {ours: value for ours, value in form.items() if defaults.get(ours) is None}
        if module is not None and defaults.get("act") is None:
            own["act"] = _is_activated(module)
        if "k" in self.names and all(self._pads_half(required | {"k": k}) for k in (3, 5)):
            own["p"] = None
        return own

    def _pads_half(self, wanted: Mapping[str, int]) -> bool:
        conv = _convolution(self.made(**wanted))
        half = (wanted["k"] // 2,) * 2
        return conv is not None and conv.padding in ("same", half)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_STANDARD = {"k": 1, "s": 1, "p": None, "g": 1, "d": 1}  # and the activation, last or before d


def _is_standard(signature: inspect.Signature) -> bool:
    """Is a class called as YOLO's own, by the same names, in their order, with their defaults?"""
    names = [*signature.parameters]
    if names[:6] != [*ConvArguments._fields][:6][: len(names)] or not {*names[6:]} <= {"d", "act"}:
        return False
    defaults = {n: p.default for n, p in signature.parameters.items() if p.default is not p.empty}
    act = defaults.pop("act", True)
    return activates(act) and all(_STANDARD.get(n, ...) == value for n, value in defaults.items())


def _spread(bound: inspect.BoundArguments) -> dict[str, Any]:
    """What a call gives by name, that of a ``**kwargs`` among it; a ``*args`` by the whole."""
    spread: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            spread |= value
        elif kind is not inspect.Parameter.VAR_POSITIONAL or value:
            spread[name] = value
    return spread


def _refuse_unless(name: str, value: Any, plain: tuple[Any, ...]) -> None:
    if value not in plain:
        raise UnfitError(
            f"Conv({name}={value!r}): a convolution for a chip has no {name!r}; leave it out"
        )


def _convolution(module: nn.Module | None) -> nn.Conv2d | None:
    found = [m for m in module.modules() if isinstance(m, nn.Conv2d)] if module else []
    return found[0] if len(found) == 1 else None


def _is_activated(module: nn.Module) -> bool:
    """Is there anything behind the batch norm, of whatever name, that changes values?"""
    norm = next((m for m in module.modules() if isinstance(m, nn.BatchNorm2d)), None)
    if norm is None:
        return True
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_hook(lambda *called: seen.append(called[2].clone()))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            result = module.eval()(torch.randn(1, 4, 8, 8))
        return not torch.equal(result, seen[-1])
    except Exception:  # a forward that wants more than an image
        return True
    finally:
        handle.remove()
