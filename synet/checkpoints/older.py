"""What older versions of torch and of YOLOs saved otherwise than today's classes want it."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from synet.checkpoints.module_state import modules_of


def renew(model: nn.Module) -> None:
    """Give the layers of a network what came after it was saved. Nothing changes that they compute.

    Parameters
    ----------
    model
        Changed in place.
    """
    for layer in modules_of(model):
        for renewal in RENEWALS:
            renewal(layer)


def _upsampling_of_torch_1_10(layer: nn.Module) -> None:
    if isinstance(layer, nn.Upsample) and not hasattr(layer, "recompute_scale_factor"):
        layer.recompute_scale_factor = None


def _grids_of_another_image(layer: nn.Module) -> None:
    """A head of YOLOv5's line keeps a grid for the next image of the same size.

    Versions have counted it otherwise. The anchors in pixels, a buffer up to v5.0, are made with it
    where the class says so.
    """
    make = inspect.unwrap(getattr(type(layer), "_make_grid", len))
    if not isinstance(getattr(layer, "grid", None), list) or make is len:
        return
    layer.grid = [torch.zeros(1)] * len(layer.grid)
    if "anchor_grid" in make.__code__.co_varnames:
        del layer.anchor_grid
        layer.anchor_grid = [torch.zeros(1)] * len(layer.grid)


def _attention_of_ultralytics_8_3(layer: nn.Module) -> None:
    if hasattr(layer, "head_dim") and hasattr(layer, "num_heads"):
        if not hasattr(layer, "all_head_dim"):
            layer.all_head_dim = layer.head_dim * layer.num_heads


RENEWALS = (_upsampling_of_torch_1_10, _grids_of_another_image, _attention_of_ultralytics_8_3)
