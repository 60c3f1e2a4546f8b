"""From a Keras model that a user has made to an int8 TFLite file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.data.calibration import Calibration
from synet.export.convert import convert
from synet.export.tensorflow import import_keras
from synet.quantization.facts import origin_facts
from synet.quantization.images import Images
from synet.quantization.place import refuse_loss
from synet.quantization.proof import unproven
from synet.system.errors import SynetError
from synet.system.files import write_atomic
from synet.tflite.metadata import RANDOM, embed_metadata

if TYPE_CHECKING:
    import keras

LEVELS = 1 / 64  # a model that scales its image by less takes pixels of 0 to 255


def quantize(
    keras_model: keras.Model,
    data: str | Path | None = None,
    image_size: Sequence[int] | None = None,
    number: int = 500,
    out_path: str | Path | None = None,
    *,
    seed: int = 0,
    metadata: dict[str, Any] | None = None,
    progress: bool = True,
) -> bytes:
    """Quantize a Keras model to int8.

    Parameters
    ----------
    keras_model
        One NHWC image in, 0-1.
    data, number, seed
        As for `synet.quantization.images.Images`. The file says that it is not proven: nothing is
        compared here, see `synet.quantize.quantize_model`.
    image_size
        (width, height) or (height, width), matched against the model's own input.
    out_path
        Where to write the file. One that is there is replaced only if SyNet made it.
    metadata
        More to embed as ``metadata.json``.

    Returns
    -------
    The TFLite file.

    Raises
    ------
    SynetError
        An image size that is not the model's, a model of pixels of 0 to 255, a data set without
        images, a file that cannot be written, or would be lost to one of random images.

    Examples
    --------
    >>> import keras
    >>> from synet.quantize import quantize
    >>> image = keras.Input((48, 64, 1), batch_size=1)
    >>> model = keras.Model(image, keras.layers.Conv2D(8, 3, padding="same", name="conv")(image))
    >>> content = quantize(model, "my.yaml", (48, 64), out_path="model.tflite", progress=False)
    >>> content[4:8]
    b'TFL3'
    """
    if out_path is not None:
        refuse_loss(Path(out_path), data is None)
    calibration = _calibration(keras_model, image_size, Images(data, number, seed))
    content = convert(keras_model, calibration, progress)
    proof = unproven(f"calibrated on {RANDOM}" if data is None else "it was compared with nothing")
    content = embed_metadata(content, {**origin_facts(calibration, proof), **(metadata or {})})
    if out_path is not None:
        refuse_loss(Path(out_path), data is None)  # it took a while
        write_atomic(out_path, content)
    return content


def matching_shape(size: Sequence[int] | None, own: tuple[int, int]) -> tuple[int, int]:
    """`own`, once `size` is found to mean it: as (height, width) or as (width, height).

    Raises
    ------
    SynetError
        It is neither.
    """
    if size is None or tuple(size) in (own, own[::-1]):
        return own
    asked = "x".join(str(n) for n in size)
    raise SynetError(
        f"image size {asked} is not the model's {own[0]}x{own[1]} (height x width), nor turned"
    )


def _calibration(
    keras_model: keras.Model, image_size: Sequence[int] | None, images: Images
) -> Calibration:
    _refuse_levels(keras_model)
    _, height, width, channels = keras_model.inputs[0].shape
    shape = matching_shape(image_size, (height, width))
    whole = isinstance(keras_model.output, dict) and "probabilities" in keras_model.output
    return images.calibration(shape, channels, whole)


def _refuse_levels(keras_model: keras.Model) -> None:
    """Refuse a model that makes 0 to 1 of pixels of 0 to 255: that is what int8 itself does."""
    scaling = import_keras().layers.Rescaling
    for layer in keras_model.layers[:2]:  # the image is the first
        if isinstance(layer, scaling) and np.all(np.abs(layer.scale) < LEVELS):
            raise SynetError(
                f"layer {layer.name} scales pixels of 0 to 255: give the model without it, of an "
                f"image of 0 to 1, which int8 holds pixel by pixel"
            )
