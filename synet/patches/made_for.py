"""The chip that a model is built for: its definition says so, or what its training starts from.

A fork that resumes a training, or fine-tunes, hands the definition which lies in the checkpoint to
its builder. A zoo model's claims name a chip there; a fork's own yaml claims nothing, so what is
noted on the model is written into it when the checkpoint is read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synet import zoo
from synet.patches.declaration import Fork
from synet.system.errors import ChipError

LOGGER = logging.getLogger("synet")

CHIP_KEY = "synet_chip"  # of the definition in a checkpoint


def with_chip_noted(content: Any) -> Any:
    """A checkpoint that has just been read, whose definitions name the chip of their models.

    Parameters
    ----------
    content
        What ``torch.load`` gave; changed in place.
    """
    for model in models_in(content):
        noted, definition = getattr(model, "synet", None), getattr(model, "yaml", None)
        if isinstance(noted, dict) and isinstance(definition, dict) and noted.get("chip"):
            definition[CHIP_KEY] = noted["chip"]
    return content


def models_in(content: Any) -> list[Any]:
    """The networks that ``torch.load`` gave: the one that was trained, and its average."""
    from torch import nn

    parts = content if isinstance(content, Mapping) else {"model": content}
    found = [parts.get("model"), parts.get("ema")]
    return [model for model in found if isinstance(model, nn.Module)]


def chip_for(definition: Mapping[str, Any], path: str, fork: Fork) -> str | None:
    """The chip to build a model for.

    Parameters
    ----------
    definition
        Of the model.
    path
        The file that it is from; empty where it is from none.
    fork
        Which builds it.

    Raises
    ------
    ChipError
        It is made for another chip than `fork` is fixed to.
    """
    source = path or fork.weights or "the checkpoint"
    named = zoo.claims(definition, path or "the checkpoint's yaml").chip or definition.get(CHIP_KEY)
    starts = CHIP_KEY not in definition and Path(fork.weights).is_file()
    start = chip_of_checkpoint(fork.weights, fork.root) if starts else None
    if start and named and start != named:
        LOGGER.warning(
            "%s is made for %s, and the training starts from %s, a model for %s",
            *(source, named, fork.weights, start),
        )
    elif start and not named:
        source, named = fork.weights, start
    if named and named != fork.chip and fork.target.fixed:
        raise ChipError(
            f"{source} is made for {named}, and this process is patched for {fork.chip}"
        )
    return named or fork.chip


def chip_of_checkpoint(weights: str | Path, root: Path) -> str | None:
    """The chip that a checkpoint's model was trained for; None where it does not say so.

    Parameters
    ----------
    weights
        The file.
    root
        Folder of the fork whose classes it names.

    Raises
    ------
    CheckpointError
        It cannot be read.
    """
    from synet.checkpoints.read import read
    from synet.checkpoints.sound import chip_of

    return chip_of(read(weights, [root], forkless=True), weights)
