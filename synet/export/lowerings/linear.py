"""Normalisation and matrix products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from synet.export.proxy import KerasProxy
from synet.export.table import as_numpy, in_order, layer_name, lowers


@lowers(F.batch_norm, ops=())  # folded into the convolution before it
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
    import keras

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
    values = [as_numpy(v) for v in (weight, bias, mean, variance)]
    layer.set_weights([v for v in values if v is not None])
    return KerasProxy(y, x.axes)


@lowers("linear", ops=("FULLY_CONNECTED",))
def _linear(x: KerasProxy, weight: torch.Tensor, bias: torch.Tensor | None = None) -> KerasProxy:
    import keras

    w, b = as_numpy(weight), as_numpy(bias)
    layer = keras.layers.Dense(w.shape[0], use_bias=b is not None, name=layer_name("linear"))
    y = layer(in_order(x, range(x.ndim)))
    layer.set_weights([w.T] if b is None else [w.T, b])
    return KerasProxy(y)


@lowers("matmul", "bmm", "__matmul__", ops=("BATCH_MATMUL",))
def _matmul(x: Any, y: Any) -> KerasProxy:
    import keras

    x, y = (
        in_order(v, range(v.ndim)) if isinstance(v, KerasProxy) else as_numpy(v) for v in (x, y)
    )
    return KerasProxy(keras.ops.matmul(x, y))
