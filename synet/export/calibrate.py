"""The range of every tensor of a network over images: what int8 scales are made of.

TensorFlow 2.21's own calibrator looks at the inputs of an operation after it has run.
Where the runtime has let the output take the place of an input, as it does in
additions, the input is credited with the output's range, and a residual branch of +-7 gets the
scale of a sum of +-18. Here every tensor keeps a place of its own, and is looked at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np


def calibrate(model: bytes, images: Iterable[np.ndarray]) -> bytes:
    """A float TFLite model with the minimum and maximum of its tensors over `images` noted in it.

    Parameters
    ----------
    model
        Of one image (1, H, W, C), with ranges noted for the tensors that need one.
    images
        float32 (H, W, C).

    Raises
    ------
    ValueError
        There are no images, or they lead to values that are not finite.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    tensors = content.subgraphs[0].tensors
    ranged = [i for i, t in enumerate(tensors) if t.quantization and t.quantization.min is not None]
    if not ranged:
        raise ValueError("no calibration images, or values that are not finite")
    low, high = _ranges(model, ranged, images)
    for index, minimum, maximum in zip(ranged, low, high, strict=True):
        tensors[index].quantization.min = [float(minimum)]
        tensors[index].quantization.max = [float(maximum)]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _ranges(
    model: bytes, tensors: list[int], images: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum of each of `tensors` (by number) over the images."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    runtime = Interpreter(
        model_content=model,
        num_threads=os.cpu_count(),
        # a delegate would keep its tensors to itself
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    runtime.allocate_tensors()
    image_input = runtime.get_input_details()[0]["index"]
    low = np.full(len(tensors), np.inf)
    high = np.full(len(tensors), -np.inf)
    for image in images:
        runtime.set_tensor(image_input, image[None])
        runtime.invoke()
        values = [runtime.get_tensor(tensor) for tensor in tensors]
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    if not np.isfinite(low).all():
        raise ValueError("no calibration images, or values that are not finite")
    return low, high
