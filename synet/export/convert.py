"""A torch network as Keras, as a float file and as int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synet.chips import Chip, get_chip
from synet.data.calibration import Calibration
from synet.export.approximate import approximate, choices
from synet.export.askeras import askeras
from synet.export.tensorflow import import_keras, to_float, to_int8
from synet.system.steps import counted
from synet.system.streams import user_stream
from synet.tflite.metadata import RANDOM

if TYPE_CHECKING:
    import keras
    from torch import nn


def image_channels(network: nn.Module) -> int:
    """Channels of the image that a network's file takes: 1 for grayscale, 3 for colour."""
    built = getattr(network, "synet", {}).get("channels")
    definition = getattr(network, "yaml", {})
    return int(built or definition.get("ch") or definition.get("channels") or 3)


def aim(network: nn.Module, chip: str) -> bool:
    """Have a network exported for a chip that was trained for none; True if it was.

    One that was trained for a chip stays as it is.
    """
    made_for = getattr(network, "synet", {}).get("chip")
    if made_for is None:
        network.synet = {**getattr(network, "synet", {}), "chip": chip}
    return made_for is None


def to_keras(
    model: nn.Module, image_shape: tuple[int, int], channels: int, chip: str | None = None
) -> keras.Model:
    """The Keras model of a torch module: (1, H, W, C) in, channels last.

    Parameters
    ----------
    chip
        Whose operations it is built of. Default: the one that the module was built for, if any.
    """
    keras = import_keras()
    inp = keras.Input((*image_shape, channels), batch_size=1, name="image")
    with askeras(imgsz=image_shape, chip=chip):
        return keras.Model(inp, model(inp))


def inspection_bytes(
    network: nn.Module, image_shape: tuple[int, int], chip: Chip | None = None
) -> bytes:
    """An int8 file of a network, calibrated on random images.

    For what does not depend on the numbers: operations, shapes, memory.

    Parameters
    ----------
    chip
        For which one that was trained for none is exported, and whose compiler decides which
        operations stand for activations. Default: the one that it was built for, if any.
    """
    channels, made_for = image_channels(network), getattr(network, "synet", {}).get("chip")
    if chip is None and made_for:
        chip = get_chip(made_for)
    calibration = random_calibration(image_shape, channels)
    aimed_at = chip.name if chip and not made_for else None
    model = to_float(to_keras(network, image_shape, channels, aimed_at))
    model, _ = approximate(
        model, choices(chip.free_activations if chip else ()), calibration.images
    )
    return quantized(model, calibration, False)


def random_calibration(image_shape: tuple[int, int], channels: int, seed: int = 0) -> Calibration:
    """Random images to calibrate on: for a file that is looked at, and not used."""
    return Calibration((), image_shape, channels, RANDOM, seed)


def convert(keras_model: keras.Model, calibration: Calibration, progress: bool) -> bytes:
    """The int8 file of a Keras model."""
    import_keras()
    return quantized(to_float(keras_model), calibration, progress)


def quantized(model: bytes, calibration: Calibration, progress: bool) -> bytes:
    """The int8 file of a float one."""
    with user_stream() as stream:  # the converter's own is shut
        images = counted(calibration.exposures(), "calibrating", len(calibration), progress, stream)
        return to_int8(model, lambda: images)
