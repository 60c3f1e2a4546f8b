"""The range of every tensor of a network over images: what int8 scales are made of.

Some ranges are not seen but known, see `synet.export.ranges`.

TensorFlow 2.21's own calibrator looks at the inputs of an operation after it has run.
Where the runtime has let the output take the place of an input, as it does in
additions, the input is credited with the output's range, and a residual branch of +-7 gets the
scale of a sum of +-18. Here every tensor keeps a place of its own, and is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from synet.export.ranges import known_ranges
from synet.tflite.model import TensorRunner


def calibrate(model: bytes, images: Iterable[np.ndarray]) -> bytes:
    """A float TFLite model, with the range of each of its tensors over `images` noted in it.

    Parameters
    ----------
    model
        Of one image (1, H, W, C).
    images
        float32 (H, W, C), 0-1.

    Raises
    ------
    ValueError
        There are no images, or they lead to values that are not finite.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    tensors = content.subgraphs[0].tensors
    ranged = [
        index
        for index, tensor in enumerate(tensors)
        if tensor.type == schema.TensorType.FLOAT32 and content.buffers[tensor.buffer].data is None
    ]
    seen = dict(zip(ranged, zip(*_ranges(model, ranged, images), strict=True), strict=True))
    for index, (minimum, maximum) in (seen | known_ranges(content, seen)).items():
        tensors[index].quantization = schema.QuantizationParametersT()
        tensors[index].quantization.min = [float(minimum)]
        tensors[index].quantization.max = [float(maximum)]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _ranges(
    model: bytes, tensors: list[int], images: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum of each of `tensors` (by number) over the images."""
    runner = TensorRunner(model)
    (image_input,) = runner.inputs
    low = np.full(len(tensors), np.inf)
    high = np.full(len(tensors), -np.inf)
    for image in images:
        runner.run({image_input: image[None]})
        values = [runner.values(tensor) for tensor in tensors]
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    if not np.isfinite(low).all():
        raise ValueError("no calibration images, or values that are not finite")
    return low, high
