"""What an int8 file tells of itself: how it came about, and what its outputs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synet.data.calibration import Calibration
from synet.detections.tflite_outputs import task_of
from synet.quantization.activations import Twin
from synet.quantization.candidate import Candidate
from synet.quantization.proof import Proof
from synet.system.version import VERSION

if TYPE_CHECKING:
    import keras


def origin_facts(calibration: Calibration, proof: Proof) -> dict[str, Any]:
    """What a reader of any file may want to know of how it came about."""
    return {
        "producer": f"synet {VERSION}",
        "image_shape": list(calibration.image_shape),
        "imgsz": list(calibration.image_shape),
        "channels": calibration.channels,
        "colour": "grayscale" if calibration.channels == 1 else "rgb",
        "calibration": {
            "source": calibration.source,
            "images": len(calibration),
            "seed": calibration.seed,
        },
        "proof": proof.metadata(),
    }


def model_facts(
    candidate: Candidate, keras_model: keras.Model, proof: Proof, twin: Twin
) -> dict[str, Any]:
    """All that the file of a network tells, in the words that a YOLO's own metadata has for it."""
    network = candidate.network
    return {
        **origin_facts(candidate.calibration, proof),
        **_task(keras_model),
        "chip": candidate.chip.name,
        **({"as_trained": True} if candidate.is_as_trained else {}),
        **twin.facts(candidate),
        # what the data must look like that judges the model
        "trained_by": getattr(network, "trained_by", ""),
        "single_cls": getattr(network, "single_class", False),
        "names": [network.names[i] for i in sorted(network.names)],
        "strides": [int(stride) for stride in network.stride],
    }


def _task(keras_model: keras.Model) -> dict[str, Any]:
    """What the outputs are for."""
    shapes = {name: tuple(output.shape) for name, output in keras_model.output.items()}
    facts: dict[str, Any] = {"task": task_of(shapes) or "detect"}
    if "keypoints" in shapes:
        numbers = 3 if "presence" in shapes else 2
        facts["kpt_shape"] = [shapes["keypoints"][-1] // 2, numbers]
    return facts
