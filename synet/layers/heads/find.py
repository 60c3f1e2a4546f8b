"""Which module of a network is its head, and what stands in for it in an export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from synet.layers.heads.anchors import AnchorForm
from synet.layers.heads.classes import ClassForm
from synet.layers.heads.distances import DistanceForm, MaskForm, PoseForm, RotatedForm
from synet.layers.heads.form import HeadForm, Outputs
from synet.system.errors import SynetError

FORMS: tuple[type[HeadForm], ...] = (
    *(AnchorForm, DistanceForm, PoseForm, MaskForm, RotatedForm, ClassForm),
)


def head_form(module: nn.Module) -> HeadForm | None:
    """The form of a head, told by what it has; None where it is none that we know.

    A head with parts that no form knows is not known, whatever else it has: it computes
    something of its own with them.
    """
    return next((form for each in FORMS if (form := each.of(module)) is not None), None)


def find_head(network: nn.Module) -> tuple[nn.Module, HeadForm]:
    """The head of a network, and its form.

    Raises
    ------
    SynetError
        It has none that we know.
    """
    for module in reversed(list(network.modules())):  # it comes last
        form = head_form(module)
        if form is not None:
            return module, form
    rows = getattr(network, "model", None)
    last = rows[-1] if isinstance(rows, nn.Sequential) and len(rows) else network
    raise SynetError(
        f"{type(last).__module__}.{type(last).__name__} is no head that SyNet can export; it knows "
        f"heads with anchors (m, anchors), with distances (cv2, cv3), and classifiers (conv, pool, "
        f"linear)"
    )


def run_network(network: nn.Module, image: Tensor) -> Outputs:
    """What a network finds, decoded by the fork's own head, in the form of the export.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        (1, C, H, W), 0-1.

    Raises
    ------
    SynetError
        It has no head that we know, or one that decodes in another way than its kind does.
    """
    head, form = find_head(network)
    with torch.no_grad():
        return form.as_exported(head, network(image), tuple(image.shape[2:]))


def needed_rows(layers: Sequence[nn.Module]) -> set[int]:
    """Indices of the rows of a YOLO that an export reads; the rest only helps training.

    Parameters
    ----------
    layers
        As ``parse_model`` builds them: each has ``f``, the rows that it reads, counted from
        itself where negative.
    """
    todo, needed = [len(layers) - 1], set()
    while todo:
        index = todo.pop()
        if index in needed or index < 0:
            continue
        needed.add(index)
        layer = layers[index]
        sources = [layer.f] if isinstance(layer.f, int) else list(layer.f)
        form = head_form(layer)
        if form is not None:
            sources = [sources[i] for i in form.inputs(layer)]
        todo += [source if source >= 0 else index + source for source in sources]
    return needed


def stand_ins(
    network: nn.Module, image_shape: tuple[int, int] | None
) -> dict[nn.Module, Callable[..., Any]]:
    """What answers in place of modules of a network that was built under the patch, in an export.

    Each head answers with its form's export, and rows that no head reads with nothing.
    """
    answers: dict[nn.Module, Callable[..., Any]] = {}
    if not hasattr(network, "synet"):
        return answers
    rows = getattr(network, "model", None)
    if isinstance(rows, nn.Sequential) and len(rows) and all(hasattr(row, "f") for row in rows):
        needed = needed_rows(rows)
        answers |= {row: _nothing for i, row in enumerate(rows) if i not in needed}
    for module in network.modules():
        form = head_form(module)
        if form is not None:
            answers[module] = partial(form.export, module, image_shape=image_shape)
    return answers


def _nothing(*_: Any, **__: Any) -> None:
    return None
