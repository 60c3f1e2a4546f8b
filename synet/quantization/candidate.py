"""A network that is to become an int8 file, and all that is settled before the work begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synet import zoo
from synet.chips import Chip, get_chip
from synet.data.calibration import Calibration
from synet.export.convert import aim, image_channels
from synet.layers.heads import find_head
from synet.models.get_model import load_network
from synet.models.trained import chip_for
from synet.quantization.images import Images
from synet.safety.make_safe import make_safe as stood_in
from synet.safety.make_safe import refuse_unsafe
from synet.system.steps import step
from synet.tflite.metadata import RANDOM

if TYPE_CHECKING:
    from torch import nn

LOGGER = logging.getLogger("synet")

CHECKED = 16  # images that the forms of the network are compared on


@dataclass(frozen=True)
class Candidate:
    """A network that is to become an int8 file, for a chip, calibrated on some images.

    Parameters
    ----------
    network
        In eval mode.
    head
        Path of its head.
    chip
        That the file is judged by.
    calibration
        The images, at the height and width that the file takes.
    is_as_trained
        Was it trained without a chip, and is exported as it is?
    """

    network: nn.Module
    head: str
    chip: Chip
    calibration: Calibration
    is_as_trained: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.calibration.image_shape

    @property
    def stride(self) -> int:
        """The largest one of its maps."""
        return _stride(self.network)

    @property
    def is_on_random_images(self) -> bool:
        """Would nothing that is compared on its images tell?"""
        return self.calibration.source == RANDOM

    @property
    def is_made_for_its_chip(self) -> bool:
        """Does its yaml say that it fits the chip?"""
        return zoo.claims(getattr(self.network, "yaml", {})).chip == self.chip.name

    def sample(self) -> list[np.ndarray]:
        """The images that the forms of the network are compared on."""
        return list(islice(self.calibration.images(), CHECKED))


def find_candidate(
    model: str | Path,
    image_shape: tuple[int, int] | None,
    repo: str | Path | None,
    chip: str | None,
    compiler: str,
    images: Images,
    cfg: str | Path | None = None,
    make_safe: bool = False,
) -> Candidate:
    """Load a network, and settle what it is exported for; what is lost on the way is warned of.

    Parameters
    ----------
    model
        A ``.pt`` checkpoint, a model yaml or a name from the zoo.
    image_shape
        Height and width. Default: the model's own.
    repo
        Folder of the fork that trained it. Default: the installed yolov5 package.
    chip
        Chip to check against. Default: the one it was built for.
    compiler
        The version of its compiler to ask, see `synet.chips.Chip.asking`. Default: the first that
        the chip's file lists.
    images
        To calibrate on.
    cfg
        As for `synet.get_model`.
    make_safe
        In a network that was trained without a chip, let `synet.make_safe` put in what the chip
        has for what it lacks, which changes its numbers.

    Raises
    ------
    UnsafeModel
        It was trained without a chip, and has what this one does not run: all of it.
    SynetError
        No such model, chip or compiler, no image shape, a head that SyNet does not know, data that
        cannot be used.
    """
    step(f"loading {model}")
    network, shape = load_network(model, image_shape, repo, chip, cfg)
    target = (chip_for(network) if chip is None else get_chip(chip)).asking(compiler)
    is_as_trained = aim(network, target.name)
    if is_as_trained and make_safe:
        network, is_as_trained = stood_in(network, target.name, shape), False
    if is_as_trained:
        refuse_unsafe(network, target, shape)
    head, form = find_head(network)
    _tell_of(network, shape, form.note(head))
    calibration = images.calibration(shape, image_channels(network), form.task == "classify")
    path = next(path for path, module in network.named_modules() if module is head)
    return Candidate(network, path, target, calibration, is_as_trained)


def _tell_of(network: nn.Module, shape: tuple[int, int], note: str) -> None:
    """Warn of what is exported otherwise than it was trained."""
    stride = _stride(network)
    if any(side % stride for side in shape):
        LOGGER.warning(
            "%dx%d is no multiple of the largest stride, %d: cells lie elsewhere than in training "
            "images that were, so expect to find less",
            *(*shape, stride),
        )
    if note:
        LOGGER.warning("%s", note)


def _stride(network: nn.Module) -> int:
    return int(max(network.stride))
