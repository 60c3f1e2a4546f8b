"""What a model is built for: its definition says so, or what its training starts from.

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
from synet.chips import Chip, get_chip
from synet.patches.declaration import Fork
from synet.patches.target import Target
from synet.system.errors import ChipError

LOGGER = logging.getLogger("synet")

# Keys of the definition in a checkpoint, by what is noted on the model.
KEYS = {name: f"synet_{name}" for name in ("chip", "activation", "pads_alike")}


def with_target_noted(content: Any) -> Any:
    """A checkpoint that has just been read, whose definitions say what their models are built for.

    Parameters
    ----------
    content
        What ``torch.load`` gave; changed in place.
    """
    for model in models_in(content):
        noted, definition = getattr(model, "synet", None), getattr(model, "yaml", None)
        if isinstance(noted, dict) and isinstance(definition, dict):
            definition |= {key: noted[name] for name, key in KEYS.items() if noted.get(name)}
    return content


def models_in(content: Any) -> list[Any]:
    """The networks that ``torch.load`` gave: the one that was trained, and its average."""
    from torch import nn

    parts = content if isinstance(content, Mapping) else {"model": content}
    found = [parts.get("model"), parts.get("ema")]
    return [model for model in found if isinstance(model, nn.Module)]


def made_for(definition: Mapping[str, Any], path: str, fork: Fork) -> tuple[Target, bool]:
    """What to build a model for, and whether its convolutions pad as torch's do.

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
    claims = zoo.claims(definition, path or "the checkpoint's yaml")
    noted = noted_in(definition)
    named = claims.chip or noted.get("chip")
    if not noted and Path(fork.weights).is_file():
        noted = built_for_in(fork.weights, fork.root)
        start = noted.get("chip")
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
    chip = str(named or fork.chip)
    if noted.get("chip") != chip:
        noted = {}  # of another chip's model nothing is taken but weights
    target = Target(chip, activation=claims.activation or noted.get("activation"))
    return target, pads_alike(definition, get_chip(chip), noted)


def noted_in(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What `with_target_noted` has written into a definition."""
    return {name: definition[key] for name, key in KEYS.items() if key in definition}


def pads_alike(definition: Mapping[str, Any], chip: Chip, noted: Mapping[str, Any]) -> bool:
    """Do the convolutions of a model pad as torch's do: see `synet.layers.choices`?

    Those of a fork's own model do, on a chip that has PAD. What was made for a chip, or trained
    before, stays as it is.

    Parameters
    ----------
    definition
        Of the model.
    chip
        That it is built for.
    noted
        On the model that it goes on from.
    """
    own = noted.get("pads_alike", False) if noted else "synet" not in definition
    return own and "PAD" in chip.ops


def built_for_in(weights: str | Path, root: Path) -> dict[str, Any]:
    """What a checkpoint's model was built for; empty where it does not say so.

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
    from synet.checkpoints.sound import built_for

    return built_for(read(weights, [root], forkless=True), weights)
