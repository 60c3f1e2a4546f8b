"""At which image size a model would fit the memory of a chip."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from synet.chips import Chip, Violation, violations

if TYPE_CHECKING:
    from synet.graph import Graph

BOUNDLESS = 1 << 62


def apart_from_memory(graph: Graph, chip: Chip) -> list[Violation]:
    """What keeps `chip` from running `graph` at whatever image size."""
    roomy = replace(chip, weights_max_bytes=BOUNDLESS, activations_max_bytes=BOUNDLESS)
    return violations(graph, roomy)


def memory_problems(graph: Graph, chip: Chip, shape: tuple[int, int], stride: int) -> list[str]:
    """What of `graph` does not fit the memory of `chip`, and at which image size it would.

    Parameters
    ----------
    shape
        Height and width of its image.
    stride
        The largest one.
    """
    others, peak, hints = apart_from_memory(graph, chip), graph.peak_activation()[0], []
    if graph.weight_bytes > chip.weights_max_bytes:
        hints.append("they fit at no image size")
    if peak > chip.activations_max_bytes:
        fits = largest_shape(shape, stride, chip.activations_max_bytes / peak)
        hints.append(
            f"they fit at {fits[0]}x{fits[1]}"
            if fits
            else f"they fit at no multiple of {stride} with the aspect of {shape[0]}x{shape[1]}"
        )
    found = [violation for violation in violations(graph, chip) if violation not in others]
    return [f"{violation} ({hint})" for violation, hint in zip(found, hints, strict=True)]


def largest_shape(shape: tuple[int, int], stride: int, share: float) -> tuple[int, int] | None:
    """The largest shape of the same aspect, a multiple of `stride`, with that share of pixels.

    Activations are maps of so many values a pixel: their bytes go with the pixels. Where
    `shape` is no multiple itself its maps are rounded up, so the result is on the safe side.

    >>> largest_shape((480, 640), 32, 0.5)
    (288, 384)
    """
    common = math.gcd(*shape)
    aspect = [side // common for side in shape]
    unit = math.lcm(*(stride // math.gcd(stride, side) for side in aspect))
    times = math.isqrt(int(share * (common / unit) ** 2))
    return (times * unit * aspect[0], times * unit * aspect[1]) if times else None
