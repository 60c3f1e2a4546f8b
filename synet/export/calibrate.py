"""The range of every tensor of a network over images: what int8 scales are made of.

Some ranges are not seen but known. In int8 a logistic function and a softmax always give steps of
1/256: what joins several of them keeps that scale, or each would be scaled once more. And
a logistic function of less than -8 is 0, so its input needs no scale that reaches further.

TensorFlow 2.21's own calibrator looks at the inputs of an operation after it has run.
Where the runtime has let the output take the place of an input, as it does in
additions, the input is credited with the output's range, and a residual branch of +-7 gets the
scale of a sum of +-18. Here every tensor keeps a place of its own, and is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from synet.tflite import TensorRunner

SHARES = (0.0, 255 / 256)  # what int8 holds of a logistic function or a softmax
SATURATED = 8.0  # the logistic function of which is 1 - 1/2981


def calibrate(model: bytes, images: Iterable[np.ndarray]) -> bytes:
    """A float TFLite model, with the range of each of its tensors over `images` noted in it.

    Parameters
    ----------
    model
        Of one image (1, H, W, C).
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
    ranged = [
        index
        for index, tensor in enumerate(tensors)
        if tensor.type == schema.TensorType.FLOAT32 and content.buffers[tensor.buffer].data is None
    ]
    seen = dict(zip(ranged, zip(*_ranges(model, ranged, images), strict=True), strict=True))
    for index, (minimum, maximum) in (seen | _known(content, seen)).items():
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


def _known(content: Any, seen: dict[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
    """The ranges that follow from what the operations are, by number of the tensor."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator as Operator

    def is_any(operation: Any, *kinds: int) -> bool:
        code = content.operatorCodes[operation.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode) in kinds

    known = {}
    operations = content.subgraphs[0].operators
    for operation in operations:
        (output, *_), inputs = operation.outputs, [i for i in operation.inputs if i in seen]
        joins = is_any(operation, Operator.CONCATENATION, Operator.RESHAPE)
        if is_any(operation, Operator.LOGISTIC, Operator.SOFTMAX) or (
            joins and inputs and all(known.get(i) == SHARES for i in inputs)
        ):
            known[output] = SHARES
    for operation in operations:
        if is_any(operation, Operator.LOGISTIC):
            (source,) = operation.inputs
            readers = [other for other in operations if source in other.inputs]
            if source in seen and all(is_any(other, Operator.LOGISTIC) for other in readers):
                known[source] = tuple(np.clip(seen[source], -SATURATED, SATURATED))
    return {index: found for index, found in known.items() if index in seen}
