"""A model yaml with two detection levels and few channels: everything of the zoo, in a second."""

from __future__ import annotations

from pathlib import Path

from model_yaml import model_yaml

SHAPE = (64, 96)
NAMES = ("0", "1")

YAML = model_yaml(
    backbone="""
    [-1, 1, Grayscale, []]
    [-1, 1, Stem, [8]]
    [-1, 1, Conv, [16, 3, 2]]
    [-1, 1, InvertedResidual, [16, 2, 2]]
    """,
    head="""
    [-1, 1, nn.Upsample, [None, 2, nearest]]
    [[-1, 2], 1, Concat, [1]]
    [-1, 1, Head, [16]]
    [[6, 3], 1, Detect, [nc, anchors]]
    """,
    about="synet:\n  chip: katana\n  image_shape: [64, 96]\n",
)


def write(folder: Path) -> Path:
    """The yaml, as a file."""
    path = folder / "tiny.yaml"
    path.write_text(YAML)
    return path
