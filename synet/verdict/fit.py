"""At which image size, or with how many channels, a model would fit the memory of a chip.

Neither is said unless it is so. A chip's table counts the bytes of maps, which go with their
pixels and channels. A compiler does as it likes: it is asked about a file that is made so.
"""

from __future__ import annotations

import copy
import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synet.verdict.check import WEIGHTS
from synet.verdict.judge import Judgement, judge
from synet.zoo import rows_of

if TYPE_CHECKING:
    from synet.tflite.graph import Graph

STRIDE = 32  # where a network names none
STEP = 8  # channels come in multiples of it, in every YOLO
TRIES = 2  # files that are made to find a number of channels, each of which takes seconds
LESS = 0.8  # of the pixels, where the first guess was too much


def memory_problems(
    judged: Judgement,
    shape: tuple[int, int],
    stride: int,
    remake: Callable[[tuple[int, int]], bytes],
) -> list[str]:
    """What of a file does not fit the memory of its chip, and at which image size it would.

    Parameters
    ----------
    shape, stride, remake
        As in `fitting_shape`.
    """
    weights = [violation for violation in judged.memory if violation.kind == WEIGHTS]
    found = [f"{violation} (they fit at no image size)" for violation in weights]
    for violation in judged.memory[len(weights) :]:
        fits = fitting_shape(judged, shape, stride, remake)
        hint = (
            f"they fit at {fits[0]}x{fits[1]}"
            if fits
            else f"they fit at no multiple of {stride} with the aspect of {shape[0]}x{shape[1]}"
        )
        found.append(f"{violation} ({hint})")
    return found


def fitting_shape(
    judged: Judgement,
    shape: tuple[int, int],
    stride: int,
    remake: Callable[[tuple[int, int]], bytes],
) -> tuple[int, int] | None:
    """A smaller image of the same aspect at which the activations of a file fit.

    Parameters
    ----------
    judged
        The file, which is too large.
    shape
        Height and width of its image.
    stride
        The largest one; that of a classifier, 1, says nothing.
    remake
        Makes the file for images of another height and width.
    """
    stride = stride if stride > 1 else STRIDE
    limit = judged.chip.activations_max_bytes
    share = limit / judged.peak_bytes
    while fits := largest_shape(shape, stride, share):
        if judged.compiled is None or judge(remake(fits), judged.chip).peak_bytes <= limit:
            return fits
        share = LESS * math.prod(fits) / math.prod(shape)
    return None


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


def fitting_channels(
    judged: Judgement,
    definition: dict[str, Any],
    remake: Callable[[dict[str, Any]], bytes],
    until: float = math.inf,
) -> tuple[int, int] | None:
    """A row of a model yaml, and with how many channels there the model fits.

    Parameters
    ----------
    judged
        The yaml's file, which is too large.
    definition
        The yaml.
    remake
        Makes the file of another definition, which takes seconds.
    until
        When to give up, by ``time.process_time()``.

    Returns
    -------
    The row's number and its channels, as built; None where no such file was found.
    """
    row, channels, wanted = _thinnest(judged, definition) or (0, 0, 0)
    for _ in range(TRIES):
        if wanted < STEP or time.process_time() > until:
            break
        tried = judge(remake(_with_channels(definition, row, wanted / channels)), judged.chip)
        if not tried.violations and channels_of(tried.graph, row) == wanted:
            return row, wanted
        wanted = int(LESS * wanted) // STEP * STEP
    return None


def _thinnest(judged: Judgement, definition: dict[str, Any]) -> tuple[int, int, int] | None:
    """The row that has to lose the smallest share of its channels, these, and what is left."""
    lost: dict[int, float] | None = None  # channels that each row would have to lose
    for moment in judged.moments:
        too_much = sum(held.bytes for held in moment) - judged.chip.activations_max_bytes
        if too_much <= 0:
            continue
        freed: dict[int, float] = {}  # bytes a channel
        for held in moment:
            rows, width = _widened_by(held.layer, definition, judged.graph)
            for row in rows:
                freed[row] = freed.get(row, 0) + held.bytes / width
        now = {row: too_much / size for row, size in freed.items()}
        # a row that is not in memory at every such moment cannot help alone
        both = now.keys() & (now if lost is None else lost).keys()
        lost = {row: max(now[row], (lost or now)[row]) for row in both}
    best, share = None, 0.0
    for row, fewer in (lost or {}).items():
        channels = channels_of(judged.graph, row)
        wanted = int(channels - fewer) // STEP * STEP
        if wanted > share * channels:
            best, share = (row, channels, wanted), wanted / channels
    return best


def row_of(layer: str) -> int | None:
    """The row of a model yaml that a layer belongs to, or comes after.

    >>> row_of("model.4.cv1.conv")
    4
    """
    found = re.search(r"\bmodel\.(\d+)\b", layer)
    return int(found[1]) if found else None


def channels_of(graph: Graph, row: int) -> int:
    """How many channels the last operation of a row writes; 0 where the graph has no such row."""
    return _last_channels(graph, lambda layer: row_of(layer) == row)


def _last_channels(graph: Graph, wanted: Callable[[str], bool]) -> int:
    own = [operator for operator in graph.operators if wanted(operator.layer)]
    return graph.tensors[own[-1].outputs[0]].shape[-1] if own else 0


def _widened_by(layer: str, definition: dict[str, Any], graph: Graph) -> tuple[list[int], int]:
    """The rows whose channels make a layer's output wide, and how many they have together."""
    row = row_of(layer)
    if row is None:
        return [], 1
    width, own = _last_channels(graph, lambda other: other == layer), channels_of(graph, row)
    before = _inputs(definition, row)
    given = sum(channels_of(graph, other) for other in before)
    # inside a block, such as an inverted residual, a layer may be so many times its input
    if width != own and given and width % given == 0 and given > own:
        return [found for i in before for found in _sources(definition, i)], given
    return _sources(definition, row), max(own, 1)


def _sources(definition: dict[str, Any], row: int) -> list[int]:
    """The rows whose channels a row's are: its own, or of those that it joins or resizes."""
    rows = rows_of(definition)
    if not 0 <= row < len(rows):
        return []
    args = rows[row][3]
    if args and type(args[0]) is int and args[0] >= STEP:
        return [row]
    return [found for i in _inputs(definition, row) for found in _sources(definition, i)]


def _inputs(definition: dict[str, Any], row: int) -> list[int]:
    rows = rows_of(definition)
    source = rows[row][0] if row < len(rows) else []
    return [i if i >= 0 else row + i for i in (source if isinstance(source, list) else [source])]


def _with_channels(definition: dict[str, Any], row: int, share: float) -> dict[str, Any]:
    """A definition with that share of a row's channels."""
    thin = copy.deepcopy(definition)
    rows = rows_of(thin)
    # YOLOs round up to a multiple of eight after they have scaled it
    rows[row][3][0] = round(rows[row][3][0] * share)
    return thin
