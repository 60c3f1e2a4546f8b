"""Low-level layers, and the context that turns any torch module into a Keras model."""

from synet.export import askeras
from synet.layers import (
    Add,
    BatchNorm,
    Cat,
    Conv2d,
    ConvTranspose2d,
    DepthwiseConv2d,
    GlobalAvgPool,
    Grayscale,
    Linear,
    MaxPool2d,
    ReLU,
    Upsample,
)

__all__ = [
    "Add",
    "BatchNorm",
    "Cat",
    "Conv2d",
    "ConvTranspose2d",
    "DepthwiseConv2d",
    "GlobalAvgPool",
    "Grayscale",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Upsample",
    "askeras",
]
