"""What older versions of torch and of YOLOs saved otherwise than today's classes want it."""

from __future__ import annotations

import inspect

import torch
from torch import nn


def renew(model: nn.Module) -> None:
    """Give the layers of a network what came after it was saved. Nothing changes that they compute.

    Parameters
    ----------
    model
        Changed in place.
    """
    for layer in model.modules():
        for renewal in RENEWALS:
            renewal(layer)


def _upsampling_of_torch_1_10(layer: nn.Module) -> None:
    if isinstance(layer, nn.Upsample) and not hasattr(layer, "recompute_scale_factor"):
        layer.recompute_scale_factor = None


def _anchors_of_yolov5_5(layer: nn.Module) -> None:
    """Anchors in pixels were a buffer; since v6.0 each level's are made with its grid."""
    make = inspect.unwrap(getattr(type(layer), "_make_grid", len))
    made = getattr(getattr(make, "__code__", None), "co_varnames", ())
    if isinstance(layer._buffers.get("anchor_grid"), torch.Tensor) and "anchor_grid" in made:
        del layer.anchor_grid
        layer.anchor_grid = [torch.zeros(1)] * layer.nl


def _attention_of_ultralytics_8_3(layer: nn.Module) -> None:
    if hasattr(layer, "head_dim") and hasattr(layer, "num_heads"):
        if not hasattr(layer, "all_head_dim"):
            layer.all_head_dim = layer.head_dim * layer.num_heads


RENEWALS = (_upsampling_of_torch_1_10, _anchors_of_yolov5_5, _attention_of_ultralytics_8_3)
