"""Building a Keras model by running a torch module on Keras tensors."""

from synet.system.import_order import triton_before_tensorflow

triton_before_tensorflow()  # whoever exports will import tensorflow

from synet.export.askeras import askeras  # noqa: E402
from synet.layers.exporting import exporting  # noqa: E402

__all__ = ["askeras", "exporting"]
