"""Normalisation and matrix products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from synet.export.lowerings.convolution import convolution
from synet.export.proxy import KerasProxy, as_numpy, in_order
from synet.export.registry import kit, layer_name, lowers


@lowers(F.batch_norm)
def _batch_norm(
    x: KerasProxy,
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> KerasProxy:
    keras = kit()

    if training:
        raise ValueError("training mode: call .eval() on the model")
    layer = keras.layers.BatchNormalization(
        axis=x.axis(1),
        epsilon=eps,
        scale=weight is not None,
        center=bias is not None,
        trainable=False,  # Resizing, called without ``training``, tells later layers to train
        name=layer_name("batch_norm"),
    )
    y = layer(x.tensor)
    layer.set_weights([as_numpy(v) for v in (weight, bias, mean, variance) if v is not None])
    return KerasProxy(y, x.axes)


@lowers("linear")
def _linear(x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None = None) -> KerasProxy:
    """A 1x1 convolution over an image of as many pixels as there are rows."""
    keras = kit()

    w = as_numpy(weight)
    rows, shape = in_order(x, range(x.ndim)), tuple(x.shape)
    if x.ndim != 4:
        rows = keras.ops.reshape(rows, (1, 1, -1, shape[-1]))
    b = None if bias is None else as_numpy(bias)
    y = convolution(rows, w[:, :, None, None], b, name="linear")
    return KerasProxy(y if x.ndim == 4 else keras.ops.reshape(y, (*shape[:-1], len(w))))


@lowers("matmul", "bmm", "__matmul__")
def _matmul(x: Any, y: Any) -> KerasProxy:
    keras = kit()

    x, y = (
        in_order(v, range(v.ndim)) if isinstance(v, KerasProxy) else as_numpy(v) for v in (x, y)
    )
    return KerasProxy(keras.ops.matmul(x, y))
