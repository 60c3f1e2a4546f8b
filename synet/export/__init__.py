"""Building a Keras model by running a torch module on Keras tensors."""

from synet.export.context import askeras, exporting

__all__ = ["askeras", "exporting"]
