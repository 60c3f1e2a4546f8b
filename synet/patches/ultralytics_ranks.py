"""The ranks of a distributed training in the ultralytics line.

Its launcher hands a trainer to the ranks it starts in a file, pickled, which they may read
though it is no checkpoint. And it knows graphics cards alone: where the processor is all there is,
``device=cpu,cpu`` starts two ranks, and those that torchrun started train together.
"""

from __future__ import annotations

import atexit
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import wrapt

from synet.patches.declaration import Wrap
from synet.patches.ranks import expect_ranks
from synet.patches.undo import Applied
from synet.system.environment import HANDED_OVER


def generate_ddp_file(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> str:
    """Let the ranks, which inherit the environment, load the file written here for them."""
    script = wrapped(*args, **kwargs)
    os.environ[HANDED_OVER] = str(Path(script).with_suffix(".pt"))
    return script


def ddp_cleanup(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
    """Forget that file when it is removed."""
    os.environ.pop(HANDED_OVER, None)
    wrapped(*args, **kwargs)


def select_device(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
    """The processor, however many ranks share it."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    for name, device in list(bound.arguments.items())[:1]:
        if _processors(device):
            bound.arguments[name] = "cpu"
    return wrapped(*bound.args, **bound.kwargs)


def init_trainer(wrapped: Callable, trainer: Any, args: tuple, kwargs: dict) -> None:
    """Count the ranks on the processor: those asked for, or those that torchrun has started."""
    wrapped(*args, **kwargs)
    if trainer.device.type != "cpu" or not hasattr(trainer, "ddp"):
        return
    ranks = int(os.environ.get("WORLD_SIZE", 0)) if _is_rank() else 0
    ranks = ranks or _processors(trainer.args.device)
    if ranks > 1:
        trainer.world_size, trainer.ddp = ranks, not _is_rank()


def setup_ddp(wrapped: Callable, trainer: Any, args: tuple, kwargs: dict) -> None:
    """Meet the other ranks by gloo where no card could do it."""
    import torch
    import torch.distributed as dist

    if trainer.device.type != "cpu":
        wrapped(*args, **kwargs)
        return
    trainer.device = torch.device("cpu")
    store, rank, ranks = next(dist.rendezvous("env://"))
    expect_ranks(store, rank, ranks)  # an unpatched one does not know that it is one of several
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    # torch asks for the group to be ended, and ultralytics leaves it as it is
    atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def validate(wrapped: Callable, validator: Any, args: tuple, kwargs: dict) -> Any:
    """Validate on the processor what was trained there: each rank looks for a card of its own."""
    import torch

    trains = any(value is not None for value in (*args[:1], kwargs.get("trainer")))
    owner = next(cls for cls in type(validator).__mro__ if "__call__" in vars(cls))
    names = vars(sys.modules[owner.__module__])
    if trains or not _is_rank() or torch.cuda.is_available() or "AutoBackend" not in names:
        return wrapped(*args, **kwargs)
    backend = names["AutoBackend"]
    stand_ins = {
        "AutoBackend": lambda **options: backend(**options | {"device": torch.device("cpu")}),
        "get_torch_device_backend": lambda _: SimpleNamespace(current_device=lambda: 0),
    }
    before = {name: names[name] for name in stand_ins if name in names}
    names.update(stand_ins)
    try:
        return wrapped(*args, **kwargs)
    finally:
        names.update(before)


def without_cards(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> None:
    """A model on the processor has no card's number; ``[None]`` is no number either."""
    if kwargs.get("device_ids") == [None]:
        kwargs = {**kwargs, "device_ids": None}
    wrapped(*args, **kwargs)


def apply(applied: Applied) -> None:
    """Wrap what is torch's own."""
    from torch.nn.parallel import DistributedDataParallel

    wrapper = wrapt.FunctionWrapper(DistributedDataParallel.__init__, without_cards)
    applied.bind(DistributedDataParallel, "__init__", wrapper, "wrap")


FUNCTIONS = (
    Wrap("generate_ddp_file", lambda _: generate_ddp_file, ("trainer",)),
    Wrap("ddp_cleanup", lambda _: ddp_cleanup, ("trainer", "file")),
    Wrap("select_device", lambda _: select_device, ("device",), frozenset(("model_info",))),
    Wrap("BaseTrainer.__init__", lambda _: init_trainer, ("self", "cfg")),
    Wrap("_setup_ddp", lambda _: setup_ddp, ("self",), frozenset(("train", "get_model"))),
    Wrap("BaseValidator.__call__", lambda _: validate, ("self", "trainer")),
)


def _is_rank() -> bool:
    return int(os.environ.get("LOCAL_RANK", -1)) >= 0


def _processors(device: Any) -> int:
    """How many ranks a device like ``cpu,cpu`` asks for; 0 where it is another."""
    words = device if isinstance(device, (list, tuple)) else str(device).split(",")
    words = [str(word).strip() for word in words]
    return len(words) if {*words} == {"cpu"} else 0
