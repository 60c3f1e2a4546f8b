"""Every rank of a distributed run is patched for the same chip, or the run stops.

Each patched rank writes its chip into the store by which the ranks found each other, and
reads those of the others, before anything is trained. An unpatched one writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from synet.patches.engine import Applied

PATIENCE = 60.0  # seconds that a rank may come later than the first


def watch_ranks(applied: Applied, chip: str) -> None:
    """Compare the ranks as soon as this process is one of several; at once if it is already."""
    import torch.distributed as dist

    if not dist.is_available():
        return

    def init_process_group(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
        wrapped(*args, **kwargs)
        compare_ranks(chip)

    if dist.is_initialized():
        compare_ranks(chip)
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
    store.set(f"synet/{dist.get_rank()}", chip)
    deadline = time.monotonic() + PATIENCE
    chips: dict[str, list[int]] = {}
    for rank in range(dist.get_world_size()):
        key = f"synet/{rank}"
        while not (there := store.check([key])) and time.monotonic() < deadline:
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
