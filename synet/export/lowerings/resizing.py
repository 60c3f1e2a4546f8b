"""Resizing of images, stored NHWC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synet.export.proxy import NCHW, KerasProxy, as_image
from synet.export.registry import kit, layer_name, lowers, whole_pair
from synet.export.reshape import resize_steps


def _factors(scale_factor: Any) -> tuple[float, float]:
    return tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * 2


@lowers("interpolate", "upsample")
def interpolate(
    x: KerasProxy,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> KerasProxy:
    keras = kit()

    if mode not in ("nearest", "bilinear") or align_corners or antialias:
        raise ValueError(f"mode={mode!r}, align_corners={align_corners}, antialias={antialias}")
    x = as_image(x)
    if size is None:
        factors = _factors(scale_factor)
        size = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
        if not recompute_scale_factor and size != [
            n * f for n, f in zip(x.shape[2:], factors, strict=True)
        ]:
            raise ValueError(f"scale_factor={scale_factor} of {tuple(x.shape[2:])}")
    size, tensor = whole_pair(size), x.tensor
    if mode == "nearest" and any(new % n for new, n in zip(size, x.shape[2:], strict=True)):
        raise ValueError(f"mode='nearest' from {tuple(x.shape[2:])} to {size}: only whole factors")
    steps = resize_steps(x.shape[2:], size) if mode == "nearest" else [((), size)]
    for _, step in steps:
        # not UpSampling2D: its repeat becomes tiles and reshapes in TFLite
        layer = keras.layers.Resizing(*step, interpolation=mode, name=layer_name("interpolate"))
        tensor = layer(tensor)
    return KerasProxy(tensor, NCHW)
