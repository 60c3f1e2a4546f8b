"""Layers of torch modules: a checkpoint, a model yaml, a name from the zoo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.utils.flop_counter import FlopCounterMode

from synet.export.convert import image_channels
from synet.inspection.readers.formats import Kernel, Layer, ModelSource, matrix
from synet.models.get_model import get_model, load_network


def layers(source: ModelSource) -> list[Layer]:
    """The modules that hold no others, and whatever else has parameters or multiplies itself.

    They stand in the order in which they run; those that do not run on an image, such as a branch
    for training alone, stand at the end if they have parameters, else nowhere.

    Raises
    ------
    SynetError
        There is no such model, or nobody says its image shape.
    """
    network, image_shape = load_network(
        source.model, source.image_shape, source.repo, source.chip, source.cfg
    )
    shapes, macs = _run(network, torch.zeros(1, image_channels(network), *image_shape))
    names = {module: name for name, module in network.named_modules()}
    seen: set[nn.Parameter] = set()
    found = []
    for module in (*shapes, *(module for module in names if module not in shapes)):
        own = {parameter for parameter in module.parameters(recurse=False)} - seen
        seen |= own
        is_leaf = module in shapes and not any(True for _ in module.children())
        if is_leaf or own or macs.get(module):
            found.append(
                Layer(
                    name=names[module],
                    kind=type(module).__name__,
                    shape=shapes.get(module, ()),
                    parameters=sum(parameter.numel() for parameter in own),
                    macs=macs.get(module, 0),
                )
            )
    return found


def kernels(source: ModelSource) -> Iterator[Kernel]:
    """The weights of convolutions and linear layers.

    Raises
    ------
    SynetError
        There is no such model.
    """
    network = get_model(source.model, source.repo, chip=source.chip, cfg=source.cfg)
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        for parameter in module.parameters(recurse=False):
            if parameter.dim() > 1 and parameter not in seen:
                seen.add(parameter)
                weights = parameter.detach().float().numpy()
                axis = 1 if isinstance(module, _ConvTransposeNd) else 0
                kind = type(module).__name__
                yield Kernel(name, kind, weights.shape, matrix(weights, axis))


def _run(
    network: nn.Module, image: Tensor
) -> tuple[dict[nn.Module, tuple[int, ...]], dict[nn.Module, int]]:
    """What each module put out last, and the multiply-accumulates that are its own, not within."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    macs: dict[nn.Module, int] = {}
    counter = FlopCounterMode(display=False)
    running: list[list[int]] = []  # of each module that runs: the count before, and of those within

    def before(*_: Any) -> None:
        running.append([counter.get_total_flops(), 0])

    def after(module: nn.Module, _: Any, output: Any) -> None:
        start, within = running.pop()
        spent = counter.get_total_flops() - start
        if running:
            running[-1][1] += spent
        macs[module] = macs.get(module, 0) + (spent - within) // 2  # it counts sums and products
        shapes[module] = tuple(output.shape) if isinstance(output, Tensor) else ()

    modules = list(network.modules())
    hooks = [module.register_forward_pre_hook(before) for module in modules]
    hooks += [module.register_forward_hook(after) for module in modules]
    try:
        with torch.no_grad(), counter:
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes, macs
