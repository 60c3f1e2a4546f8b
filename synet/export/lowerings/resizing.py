"""Resizing of images, stored NHWC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synet.export.proxy import NCHW, KerasProxy
from synet.export.reshape import resize_steps
from synet.export.table import Operation, as_image, layer_name, lowers, pair


def resize_operations(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, **__: Any
) -> list[Operation]:
    before = tuple(x.shape[2:])
    if size is None:
        size = [int(n * f) for n, f in zip(before, _factors(scale_factor), strict=True)]
    if mode == "bilinear":
        return [("RESIZE_BILINEAR", {"before": before, "after": pair(size)})]
    return [
        ("RESIZE_NEAREST_NEIGHBOR", {"before": start, "after": end})
        for start, end in resize_steps(before, pair(size))
    ]


def _factors(scale_factor: Any) -> tuple[float, float]:
    return tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * 2


@lowers("interpolate", "upsample", ops=resize_operations)
def interpolate(
    x: KerasProxy,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> KerasProxy:
    import keras

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
    size, tensor = pair(size), x.tensor
    if mode == "nearest" and any(new % n for new, n in zip(size, x.shape[2:], strict=True)):
        raise ValueError(f"mode='nearest' from {tuple(x.shape[2:])} to {size}: only whole factors")
    steps = resize_steps(x.shape[2:], size) if mode == "nearest" else [((), size)]
    for _, step in steps:
        # not UpSampling2D: its repeat becomes tiles and reshapes in TFLite
        layer = keras.layers.Resizing(*step, interpolation=mode, name=layer_name("interpolate"))
        tensor = layer(tensor)
    return KerasProxy(tensor, NCHW)
