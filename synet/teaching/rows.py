"""What a head tells of each cell, listened to while its network runs.

A head's branches are heard rather than what the network returns: that is another form in every
fork and in every version, in training and in evaluation, and the branches are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from synet.layers.heads import head_form
from synet.layers.heads.anchors import BOX, OBJECTNESS, AnchorForm, anchors_in_pixels
from synet.layers.heads.distances import DistanceForm, RotatedForm
from synet.layers.heads.form import strides

BoxForm = AnchorForm | DistanceForm


@dataclass
class Heard:
    """One run of a head, level by level.

    Parameters
    ----------
    features
        What it was given: (N, C, H, W) each.
    told
        What each of its branches gave, by the branch's attribute.
    """

    features: list[Tensor] = field(default_factory=list)
    told: dict[str, dict[int, Tensor]] = field(default_factory=dict)


@dataclass
class Rows:
    """What a head tells of the cells of one level; A is the anchors of a cell, or 1.

    Parameters
    ----------
    stride
        Pixels of the image for each cell.
    boxes
        Corners in pixels (N, A, 4, H, W).
    classes
        Logits (N, A, C, H, W).
    objectness
        Logits (N, A, H, W); None where classes tell that, too.
    bins
        Logits of the distances to the four sides (N, 4, bins, H, W), where a head has bins.
    anchors
        Widths and heights in pixels (A, 2), where it has anchors.
    """

    stride: float
    boxes: Tensor
    classes: Tensor
    objectness: Tensor | None = None
    bins: Tensor | None = None
    anchors: Tensor | None = None


def find_boxes(network: nn.Module) -> tuple[nn.Module, BoxForm] | None:
    """The head of a network and its form, where it tells boxes; else None."""
    for module in reversed(list(network.modules())):  # it comes last
        form = head_form(module)
        if isinstance(form, (AnchorForm, DistanceForm)):
            return module, form
    return None


def is_rotated(form: BoxForm) -> bool:
    """Are its boxes along axes of their own?"""
    return isinstance(form, RotatedForm) or bool(getattr(form, "angles", ()))


@contextmanager
def heard(head: nn.Module, form: BoxForm) -> Iterator[Heard]:
    """Listen to a head within the block.

    Nothing stays on it, so that what is copied or saved of its network is as ever.
    """
    heard = Heard()

    def take(_: nn.Module, args: tuple[Any, ...]) -> None:
        heard.features = [args[0][index] for index in form.inputs(head)]

    def hear(name: str, level: int) -> Callable[..., None]:
        return lambda _, __, output: heard.told.setdefault(name, {}).update({level: output})

    handles = [head.register_forward_pre_hook(take)]
    for name in _branches(form):
        for level, branch in enumerate(getattr(head, name)):
            handles.append(branch.register_forward_hook(hear(name, level)))
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def rows_of(head: nn.Module, form: BoxForm, heard: Heard) -> list[Rows]:
    """What was heard, decoded, in float32."""
    levels = range(len(heard.features))
    if isinstance(form, AnchorForm):
        return [_with_anchors(head, form, heard, level) for level in levels]
    return [_with_distances(head, form, heard, level) for level in levels]


def _branches(form: BoxForm) -> tuple[str, ...]:
    if isinstance(form, AnchorForm):
        return ("m", "m_kpt") if form.numbers == 3 else ("m",)
    return form.boxes, form.classes


def _with_anchors(head: nn.Module, form: AnchorForm, heard: Heard, level: int) -> Rows:
    maps = heard.told["m"][level].float()
    if form.implicit:
        maps = maps * head.im[level].implicit.float()
    if form.numbers == 3:  # an anchor may lie in either
        maps = torch.cat((maps, heard.told["m_kpt"][level].float()), 1)
    maps = maps.unflatten(1, (head.na, head.no))
    stride = strides(head)[level]
    anchors = anchors_in_pixels(head)[level].to(maps.device)
    xy = (2 * maps[:, :, :2].sigmoid() + _cells(maps, -0.5)) * stride
    half = 2 * maps[:, :, 2:BOX].sigmoid().square() * anchors.view(1, -1, 2, 1, 1)
    classes = maps[:, :, form.classes.start : form.classes.stop]
    boxes = torch.cat((xy - half, xy + half), 2)
    return Rows(stride, boxes, classes, maps[:, :, OBJECTNESS - 1], anchors=anchors)


def _with_distances(head: nn.Module, form: DistanceForm, heard: Heard, level: int) -> Rows:
    maps, classes = (heard.told[name][level].float() for name in (form.boxes, form.classes))
    bins, distances = None, maps
    if form.bins:
        bins = maps.unflatten(1, (4, head.reg_max))
        values = getattr(head, form.bins).conv.weight.detach().float().view(-1, 1, 1)
        distances = (bins.softmax(2) * values).sum(2)
    stride = strides(head)[level]
    signs = maps.new_tensor([-1, -1, 1, 1]).view(1, 4, 1, 1)
    boxes = (_cells(maps, 0.5).repeat(1, 2, 1, 1) + signs * distances) * stride
    return Rows(stride, boxes[:, None], classes[:, None], bins=bins)


def _cells(maps: Tensor, offset: float) -> Tensor:
    """x and y of each cell, in cells (1, 2, H, W)."""
    y, x = (torch.arange(n, device=maps.device) + offset for n in maps.shape[-2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]
