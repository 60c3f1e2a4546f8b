"""Telling a fork's classes by what they do, whatever they are called."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from synet.layers.binding import built

ANCHORS = ((10, 13, 16, 30), (30, 61, 62, 45))  # pixels; two levels of two
CHANNELS = (8, 8)


def is_conv(cls: type) -> bool:
    """Does ``cls(c1, c2, k, s)`` build a convolution, batch norm and an activation?"""
    conv = built(lambda: cls(4, 8, 3, 2)) if _takes(cls, 4) else None
    if conv is None:
        return False
    convolutions = [m for m in conv.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in conv.modules() if isinstance(m, nn.BatchNorm2d)]
    if len(convolutions) != 1 or len(norms) != 1 or len(list(conv.children())) > 3:
        return False
    (only,) = convolutions
    form = (only.in_channels, only.out_channels, only.kernel_size, only.stride)
    return form == (4, 8, (3, 3), (2, 2))


def is_concat(old: type, new: type) -> bool:
    """Is it built with a dimension alone, as YOLO's `Concat` is?"""
    return len(inspect.signature(old).parameters) <= 1


def is_same_head(old: type, new: type) -> bool:
    """Do two anchor heads hold the same tensors, and compute the same with them?

    Then a model can be trained by the fork's loss, and its checkpoint read, with either.
    """
    heads = [built(lambda cls=cls: cls(3, ANCHORS, CHANNELS)) for cls in (old, new)]
    if None in heads:
        return False
    with torch.random.fork_rng(devices=[]):
        state = {k: torch.rand_like(v.float()) for k, v in heads[1].state_dict().items()}
        images = [torch.rand(1, c, 4, 6) for c in CHANNELS]
    try:
        for head in heads:
            head.load_state_dict(state)
            head.stride = torch.tensor([8.0, 16.0])
        with torch.no_grad():
            results = [(_run(head.train(), images), _run(head.eval(), images)) for head in heads]
        return all(
            a.shape == b.shape and torch.allclose(a, b, atol=1e-5)
            for a, b in zip(*map(_tensors, results), strict=True)
        ) and all(hasattr(heads[1], name) for name in vars(heads[0]))
    except Exception:  # a head of another kind fails in its own way
        return False


def _run(head: nn.Module, images: list[Tensor]) -> object:
    return head([image.clone() for image in images])


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)]


def _takes(cls: type, count: int) -> bool:
    try:
        inspect.signature(cls).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return issubclass(cls, nn.Module)
