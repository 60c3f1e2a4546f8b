"""What is known of a training: its checkpoint notes options, and so do files beside its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.chips import Chip, chip_for_images, get_chip
from synet.export.convert import image_channels
from synet.system.errors import SynetError

if TYPE_CHECKING:
    from torch import nn

# Options of a training, in a checkpoint and in a file beside its folder, and whose they are.
OPTIONS = {"opt": "yolov5", "train_args": "ultralytics"}
OPTION_FILES = {"opt.yaml": "yolov5", "args.yaml": "ultralytics"}


def note_training(model: nn.Module, weights: str | Path, content: Mapping[str, Any]) -> None:
    """Note on a model what its training was: ``image_shape``, ``trained_by``, ``single_class``.

    Parameters
    ----------
    model
        It is changed in place.
    weights
        The checkpoint that it was read from.
    content
        Of that checkpoint.
    """
    noted = _options(weights, content)
    model.trained_by, options = next((each for each in noted if each[1]), ("", None))
    model.single_class = _is_single(options)
    claimed = zoo.claims(model.yaml).image_shape
    model.image_shape = _trained_shape(weights, [options for _, options in noted], claimed)


def is_as_trained(network: nn.Module) -> bool:
    """Was a network trained without the patch, and does it run as it was?"""
    return getattr(network, "synet", {}).get("chip", "") is None


def chip_for(network: nn.Module) -> Chip:
    """The chip that a network is judged by where nobody names another.

    It is the one that it was built for; of one that is as it was trained, the default chip whose
    camera gives what it takes.
    """
    if is_as_trained(network):
        return chip_for_images(image_channels(network))
    return get_chip(network.synet["chip"])


def _options(weights: str | Path, content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The options of a training, in a checkpoint and beside it, each with its line of YOLOs."""
    noted = [(line, content.get(key)) for key, line in OPTIONS.items()]
    for name, line in OPTION_FILES.items():
        file = Path(weights).resolve().parent.parent / name
        if file.is_file():
            with contextlib.suppress(SynetError):
                noted.append((line, zoo.read_definition(file)))
    return noted


def _is_single(options: Any) -> bool:
    options = getattr(options, "__dict__", options)  # a namespace's
    return isinstance(options, dict) and options.get("single_cls") in (True, 1)


def _trained_shape(
    weights: str | Path, noted: Iterable[Any], claimed: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The image shape that a checkpoint, or the options beside it, say it was trained at.

    A rectangle is that; a number may have been the longer side of what its yaml claims.
    """
    from synet.checkpoints.sound import noted_size

    for options in noted:
        size = noted_size(options, str(weights))
        if isinstance(size, tuple):
            return size
        if size is not None:
            return claimed or (size, size)
    return claimed
