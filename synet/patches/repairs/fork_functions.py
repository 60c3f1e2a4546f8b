"""Repairs of functions that forks of a YOLO share by name.

Each is wrapped in the fork's own modules, and says which error it answers.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synet.patches.declaration import CHECK_FUNCTIONS, Wrap
from synet.patches.repairs import pkg_resources
from synet.patches.repairs.repair import Repair

LOGGER = logging.getLogger("synet")


@dataclass(frozen=True)
class ForkRepair(Repair):
    """Functions or methods of forks, by name, and the wrapt wrapper that mends them.

    `takes` and `beside` are as of `synet.patches.declaration.Wrap`.
    """

    functions: tuple[str, ...]
    wrapper: Callable[[Callable, Any, tuple, dict], Any]
    takes: tuple[str, ...] = ()
    beside: frozenset[str] = frozenset()

    @property
    def wraps(self) -> list[Wrap]:
        """What the engine is told of it."""
        return [
            Wrap(function, lambda _: self.wrapper, self.takes, self.beside)
            for function in self.functions
        ]


def _check_requirements(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> bool:
    """Say what is missing; never install, and never stop what may well run without it."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    bound.apply_defaults()
    wanted = bound.arguments.get("requirements", ())
    excluded = set(bound.arguments.get("exclude", ()))
    unmet = list(unmet_requirements(wanted, excluded))
    if unmet:
        LOGGER.warning(
            "requirements not met: %s. SyNet installs nothing while a fork runs; where something "
            "fails for want of it, stop and run: pip install %s",
            "; ".join(unmet),
            " ".join(f'"{line.partition(" (")[0]}"' for line in unmet),
        )
    return not unmet


def unmet_requirements(wanted: Any, excluded: Iterable[str] = ()) -> Iterator[str]:
    """Which of `wanted` this environment does not meet, each with the reason.

    Parameters
    ----------
    wanted
        A requirements.txt, a requirement or a list of them; a tuple inside a list
        holds alternatives, of which one is enough.
    excluded
        Project names to leave out.
    """
    if isinstance(wanted, Path) or str(wanted).endswith(".txt"):
        wanted = Path(wanted).read_text().splitlines() if Path(wanted).is_file() else []
    elif isinstance(wanted, str):
        wanted = [wanted]
    for item in wanted:
        alternatives = list(pkg_resources.requirement_lines(pkg_resources.flat(item)))
        problems = []
        for line in alternatives:
            try:
                name = pkg_resources.Requirement(line).name
                if name not in excluded:
                    pkg_resources.require(line)
                problems = []
                break
            except pkg_resources.ResolutionError as error:
                problems.append(f"{line} ({str(error).rpartition(': ')[2]})")
            except ValueError:  # a web address, or a spelling that only its author's pip reads
                break
        yield from problems[:1]


def _check_git_status(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> None:
    """Nothing: it asks the network, and one version adds a remote to the user's repository."""


def _check_git_info(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
    """What git says of the fork, or nothing: it is a note for the checkpoint."""
    try:
        return wrapped(*args, **kwargs)
    except Exception:  # no GitPython, no git, no remote called origin, another user's folder
        return {"remote": None, "branch": None, "commit": None}


def _attempt_download_from_hub(
    wrapped: Callable, instance: Any, args: tuple, kwargs: dict
) -> str | None:
    """Ask Hugging Face only for what is not a file here."""
    repository = str(args[0] if args else kwargs.get("repo_id", ""))
    if not repository or os.path.exists(repository):
        return None
    return wrapped(*args, **kwargs)


def _without_gradients(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
    """Set biases as today's torch wants it: outside of what is differentiated."""
    import torch

    with torch.no_grad():
        return wrapped(*args, **kwargs)


def _fuse_conv_and_bn(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
    """Fold batch norm into a convolution with groups, which old versions take for one without."""
    import torch
    from torch import nn

    conv, norm = inspect.signature(wrapped).bind(*args, **kwargs).args[:2]
    if conv.groups == 1:
        return wrapped(*args, **kwargs)
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    fused = nn.Conv2d(conv.in_channels, conv.out_channels, *form).to(conv.weight)
    with torch.no_grad():
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = 0 if conv.bias is None else conv.bias
        fused.weight.copy_(conv.weight * gain.view(-1, 1, 1, 1))
        fused.bias.copy_((bias - norm.running_mean) * gain + norm.bias)
    return fused.requires_grad_(False)


# What every YOLO has in the class of its models.
MODEL_METHODS = frozenset({"fuse", "forward", "forward_once", "_print_biases"})

FORK_REPAIRS = (
    ForkRepair(
        name="requirements",
        functions=("check_requirements",),
        error="pip install in the middle of training, with whatever pip is first on PATH",
        since="YOLOv5 v5.0",
        wrapper=_check_requirements,
        takes=("requirements|file",),
        beside=CHECK_FUNCTIONS,
    ),
    ForkRepair(
        name="git_status",
        functions=("check_git_status",),
        error="a remote added to the user's repository; ten seconds lost without a network",
        since="YOLOv5 v6.2",
        wrapper=_check_git_status,
        beside=CHECK_FUNCTIONS,
    ),
    ForkRepair(
        name="git_info",
        functions=("check_git_info",),
        error="AttributeError: No item found with id origin (or no GitPython), importing train.py",
        since="YOLOv5 v7.0",
        wrapper=_check_git_info,
        takes=("path",),
        beside=CHECK_FUNCTIONS,
    ),
    ForkRepair(
        name="hub",
        functions=("attempt_download_from_hub",),
        error="ConnectionError from huggingface_hub for weights that lie here",
        since="yolov5 of PyPI (seen in 7.0.14)",
        wrapper=_attempt_download_from_hub,
    ),
    ForkRepair(
        name="leaf_inplace",
        functions=(
            "_initialize_biases",
            "_initialize_aux_biases",
            "_initialize_biases_bin",
            "_initialize_biases_kpt",
        ),
        error="RuntimeError: a view of a leaf Variable that requires grad is being used in-place",
        since="torch 1.5, for forks of YOLOv3 and YOLOv4",
        wrapper=_without_gradients,
        takes=("self", "cf"),
        beside=MODEL_METHODS,
    ),
    ForkRepair(
        name="fuse_groups",
        functions=("fuse_conv_and_bn",),
        error="RuntimeError: shape is invalid for input of size, fusing a depthwise convolution",
        since="ScaledYOLOv4 and others that forked YOLOv5 before v3.1",
        wrapper=_fuse_conv_and_bn,
        takes=("conv", "bn"),
        beside=frozenset({"model_info", "select_device", "initialize_weights"}),
    ),
)
