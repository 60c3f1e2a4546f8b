"""The layers that Katana runs (`chips/katana.yaml` says why)."""

from synet.layers import (
    Add,
    BatchNorm,
    Cat,
    Conv,
    Conv2d,
    DepthwiseConv2d,
    Detect,
    Grayscale,
    Head,
    InvertedResidual,
    MaxPool2d,
    ReLU,
    Stem,
    Upsample,
)

__all__ = [
    "Add",
    "BatchNorm",
    "Cat",
    "Conv",
    "Conv2d",
    "DepthwiseConv2d",
    "Detect",
    "Grayscale",
    "Head",
    "InvertedResidual",
    "MaxPool2d",
    "ReLU",
    "Stem",
    "Upsample",
]
