"""Every rank of a distributed run is patched for the same chip, or the run stops.

Each patched rank writes its chip into the store by which the ranks found each other, and
reads those of the others, before anything is trained. An unpatched one writes nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from synet.patches.undo import Applied

PATIENCE = 60.0  # seconds that a rank may come later than the first
_chip: Callable[[], str] | None = None  # of this process, where it is patched for one


def watch_ranks(applied: Applied, chip: Callable[[], str]) -> None:
    """Compare the ranks as soon as this process is one of several; at once if it is already."""
    import torch.distributed as dist

    if not dist.is_available():
        return

    def init_process_group(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
        wrapped(*args, **kwargs)
        compare_ranks(chip())

    applied.bind(sys.modules[__name__], "_chip", chip)
    if dist.is_initialized():
        compare_ranks(chip())
    wrapper = wrapt.FunctionWrapper(dist.init_process_group, init_process_group)
    for module in (dist, dist.distributed_c10d):
        applied.bind(module, "init_process_group", wrapper, "wrap")


def compare_ranks(chip: str) -> None:
    """Return when every rank is patched for `chip`; else say in one line who is not, and exit.

    Of all ranks that find this out, one speaks. Each leaves by SystemExit, as forks that
    catch their own exceptions would otherwise train on.
    """
    import torch.distributed as dist

    if dist.get_backend() in ("fake", "mpi"):  # they have no store
        return
    store = dist.distributed_c10d._get_default_store()
    _compare(chip, store, dist.get_rank(), dist.get_world_size())


def expect_ranks(store: Any, rank: int, ranks: int) -> None:
    """`compare_ranks`, before the ranks meet: those that are not patched might never come.

    When one of them fails, the launcher ends the others; that is the end of waiting, then.
    """
    if _chip is None:
        return
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        _compare(_chip(), store, rank, ranks, ended)
    finally:
        signal.signal(signal.SIGTERM, before)


def _compare(chip: str, store: Any, rank: int, ranks: int, ended: Sequence[int] = ()) -> None:
    store.set(f"synet/{rank}", chip)
    deadline = time.monotonic() + PATIENCE
    chips: dict[str, list[int]] = {}
    for rank in range(ranks):
        key = f"synet/{rank}"
        while not (there := store.check([key])) and time.monotonic() < deadline and not ended:
            time.sleep(0.02)  # rather than store.wait, which would keep Ctrl-C waiting
        chips.setdefault(store.get(key).decode() if there else "", []).append(rank)
    if [*chips] == [chip]:
        return
    if store.add("synet/told", 1) == 1:
        print(f"synet: {_difference(chips)}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def _difference(chips: dict[str, list[int]]) -> str:
    parts = [
        f"{'ranks' if len(ranks) > 1 else 'rank'} {', '.join(map(str, ranks))} "
        + (f"for {chip}" if chip else f"not at all (no sign within {PATIENCE:.0f} s)")
        for chip, ranks in chips.items()
    ]
    return (
        f"the ranks of this run are not patched alike: {'; '.join(parts)}. Start each with "
        f"synet run, or call the same patch_custom(...) at the top of its script"
    )
