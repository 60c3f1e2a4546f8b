"""A float file in which one operation stands for what its chip would take several for.

``x * sigmoid(x)`` is two operations, which read and write all of the image again. A GELU is one,
which Vela makes a table of the convolution before it: ``c * gelu(x / c)`` is SiLU to 0.025. The two
factors cost nothing, for they vanish in the weights around (`synet.export.factors`). Where they
cannot, in what a network gives, one of them is left as a multiplication.

This is done in float, so the file that comes of it is an ordinary one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from synet.export.approximations import EDGES, MIDDLES, TABLE, Approximation
from synet.export.factors import Groups, absorb
from synet.export.float_file import FloatFile
from synet.export.pointwise import pointwise
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph
from synet.tflite.model import TensorRunner

Images = Callable[[], Iterable[np.ndarray]]
NOTHING = "none"  # stands in


@dataclass(frozen=True)
class StandIn:
    """An operation that stands for the activation of a layer.

    Parameters
    ----------
    layer
        Its path in the network, as all tables call it.
    was
        What it was trained with.
    by
        The TFLite operation.
    factor
        ``c`` of ``c * operation(x / c)``.
    error
        Root of the mean square of the difference, over the values that calibration images show.
    largest
        The largest difference within the range of those.
    """

    layer: str
    was: str
    by: str
    factor: float
    error: float
    largest: float

    def metadata(self) -> dict[str, Any]:
        """As a file tells it."""
        told = asdict(self)
        return {**told, "error": round(self.error, 6), "largest": round(self.largest, 6)}


def choices(free: Sequence[str], asked: str | None = None) -> tuple[Approximation, ...]:
    """What may stand in, for a compiler to which the operations `free` cost nothing.

    Parameters
    ----------
    asked
        A TFLite operation: whatever it can stand for; or `NOTHING`. None: what is close.

    Raises
    ------
    SynetError
        The operation is not free, or stands for nothing.
    """
    usable = [each for each in TABLE if each.by in free]
    if asked not in (None, NOTHING, *(each.by for each in usable)):
        known = ", ".join([*dict.fromkeys(each.by for each in usable), NOTHING])
        raise SynetError(
            f"{asked} cannot stand for another activation at no cost there; say one of: {known}"
        )
    return tuple(
        each
        for each in usable
        if each.is_exact or each.by == asked or (asked is None and each.is_close)
    )


def approximate(
    model: bytes, allowed: Sequence[Approximation], images: Images, kept: Sequence[str] = ()
) -> tuple[bytes, tuple[StandIn, ...]]:
    """Put stand-ins into a float file.

    Parameters
    ----------
    model
        The file.
    allowed
        What may stand in.
    images
        Called for float32 (H, W, C) images, 0-1: what the layers see decides over the factors.
    kept
        Layers that keep what they were trained with, by their paths or how these begin.

    Returns
    -------
    The file, and what stands in it.

    Raises
    ------
    SynetError
        There are no such layers as shall keep what they have.
    """
    sites = list(_sites(model, allowed))
    for each in kept:
        if not any(_is_in(site.layer, [each]) for site in sites):
            known = ", ".join(site.layer for site in sites) or "none"
            raise SynetError(
                f"no activation that has a stand-in is in layer {each!r}; they are: {known}"
            )
    sites = [site for site in sites if not _is_in(site.layer, kept)]
    sites, file, groups = _settled(model, sites)
    if not sites:
        return model, ()
    seen = _seen(model, [site.source for site in sites], images())
    members: dict[int, list[tuple[Approximation, _Seen]]] = {}
    for site, values in zip(sites, seen, strict=True):
        members.setdefault(groups.of(site.written), []).append((site.by, values))
    factors = {group: _factor(each) for group, each in members.items()}
    found = []
    for site, values in zip(sites, seen, strict=True):
        by, factor = site.by, factors[groups.of(site.written)]
        mean = by.mean_error(values.shares, factor)
        largest = by.largest_error(values.low, values.high, factor)
        found.append(StandIn(site.layer, by.was, by.by, factor, mean, largest))
    return _scaled(file, groups, sites, [each.factor for each in found]), tuple(found)


def approximated(model: bytes, known: Sequence[Mapping[str, Any]]) -> bytes:
    """A float file with the stand-ins that an int8 file of the same network says that it has.

    Parameters
    ----------
    model
        The float file of the network as it was trained.
    known
        As `StandIn.metadata` gives them.

    Raises
    ------
    SynetError
        The network has no such layers.
    """
    told = {each["layer"]: each for each in known}
    pairs = {(each["was"], each["by"]) for each in known}
    allowed = [each for each in TABLE if (each.was, each.by) in pairs]
    sites = [site for site in _sites(model, allowed) if site.layer in told]
    sites, file, groups = _settled(model, sites)
    missing = told.keys() - {site.layer for site in sites}
    if missing:
        lost = told[min(missing)]
        raise SynetError(
            f"it has no {lost['was']} in layer {lost['layer']} for {lost['by']} to stand for"
        )
    return _scaled(file, groups, sites, [float(told[site.layer]["factor"]) for site in sites])


@dataclass(frozen=True)
class _Site:
    """A place in a file where an operation may stand in.

    `source` is the tensor that it reads, and `tensor` the one that has its values then. `is_cut`
    says that a multiplication has to make that of what it has `written`.
    """

    layer: str
    source: int
    tensor: int
    by: Approximation
    is_cut: bool = False
    written: int = -1


def _sites(model: bytes, allowed: Sequence[Approximation]) -> Iterator[_Site]:
    file = FloatFile(model)
    layers = read_graph(model).writers()
    times: Counter[str] = Counter()
    taken: set[int] = set()
    for found in pointwise(file) if allowed else ():
        by = next((each for each in allowed if each.is_of(found.values)), None)
        if by is None or found.tensor in taken:
            continue
        taken.add(found.tensor)
        layer = layers[found.tensor]
        times[layer] += 1
        again = f" ({times[layer]})" if times[layer] > 1 else ""
        yield _Site(f"{layer}{again}", found.source, found.tensor, by)


def _is_in(layer: str, kept: Sequence[str]) -> bool:
    return any(layer == each or layer.startswith(f"{each}.") for each in kept)


def _settled(model: bytes, sites: list[_Site]) -> tuple[list[_Site], FloatFile, Groups]:
    """The sites whose factors can be had, and the file with their operations, still unscaled.

    Of one that is tied to a factor of 1 the multiplication comes first. If that does not help, it
    keeps its own operations, which may tie others: so on until nothing changes.
    """
    while True:
        sites, file, groups = _put_in(model, sites)
        tied = [groups.is_pinned(site.written) for site in sites]
        if not any(tied):
            return sites, file, groups
        sites = [
            replace(site, is_cut=site.is_cut or is_tied)
            for site, is_tied in zip(sites, tied, strict=True)
            if not (is_tied and site.is_cut)
        ]


def _put_in(model: bytes, sites: Sequence[_Site]) -> tuple[list[_Site], FloatFile, Groups]:
    """The file with one operation at each site."""
    file = FloatFile(model)
    writers = {tensor: operator for operator in file.operators for tensor in operator.outputs}
    put = []
    for site in sites:
        operator = writers[site.tensor]
        file.replace(operator, site.by.by, [site.source])
        if site.is_cut:
            file.multiply_after(operator)
        put.append((operator, not site.by.is_folded))
    file.drop_unread()
    written = [operator.outputs[0] for operator, _ in put]
    there = [replace(site, written=tensor) for site, tensor in zip(sites, written, strict=True)]
    return there, file, Groups(file, put)


def _scaled(
    file: FloatFile, groups: Groups, sites: Sequence[_Site], factors: Sequence[float]
) -> bytes:
    owners = (groups.of(site.written) for site in sites)
    of_group = dict(zip(owners, factors, strict=True))
    absorb(file, [of_group.get(groups.of(tensor), 1.0) for tensor in range(len(file.tensors))])
    return file.packed()


class _Seen(NamedTuple):
    """The values of a tensor over some images: what shares of them lie in the bins of `EDGES`."""

    low: float
    high: float
    shares: np.ndarray


def _factor(members: Sequence[tuple[Approximation, _Seen]]) -> float:
    """Of a group: the best one for that of its members which has the least choice."""
    strictest = min((by for by, _ in members), key=lambda by: by.freedom)
    return strictest.best_factor(np.sum([seen.shares for _, seen in members], axis=0))


def _seen(model: bytes, tensors: Sequence[int], images: Iterable[np.ndarray]) -> list[_Seen]:
    runner = TensorRunner(model)
    counts = np.zeros((len(tensors), len(MIDDLES)))
    ends = np.array([[np.inf, -np.inf]] * len(tensors))
    for image in images:
        runner.run({runner.inputs[0]: image[None]})
        for at, values in enumerate(map(runner.values, tensors)):
            counts[at] += np.histogram(values, EDGES)[0]
            ends[at] = min(ends[at, 0], values.min()), max(ends[at, 1], values.max())
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [_Seen(low, high, each) for (low, high), each in zip(ends.tolist(), shares, strict=True)]
