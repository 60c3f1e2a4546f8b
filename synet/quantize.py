"""From a trained torch model, or a Keras model, to an int8 TFLite file."""

from synet.quantization.quantize_keras import quantize
from synet.quantization.quantize_model import Result, quantize_checkpoint, quantize_model

__all__ = ["Result", "quantize", "quantize_checkpoint", "quantize_model"]
