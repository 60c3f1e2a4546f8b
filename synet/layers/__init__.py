"""Torch layers whose Keras export computes the same numbers, pixel for pixel."""

from synet.layers.basic import (
    Add,
    BatchNorm,
    Cat,
    GlobalAvgPool,
    Grayscale,
    Linear,
    MaxPool2d,
    ReLU,
    Upsample,
)
from synet.layers.blocks import CSP, SPPF, Head, InvertedResidual, Mixer, Stem
from synet.layers.conv import Conv, Conv2d, ConvTranspose2d, DepthwiseConv2d
from synet.layers.yolov5 import Detect

__all__ = [
    "Add",
    "BatchNorm",
    "CSP",
    "Cat",
    "Conv",
    "Conv2d",
    "ConvTranspose2d",
    "DepthwiseConv2d",
    "Detect",
    "GlobalAvgPool",
    "Grayscale",
    "Head",
    "InvertedResidual",
    "Linear",
    "MaxPool2d",
    "Mixer",
    "ReLU",
    "SPPF",
    "Stem",
    "Upsample",
]
