"""One way to get a torch model, whatever names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synet.export.convert import inspection_bytes
from synet.system.errors import SynetError
from synet.tflite.flatbuffer import read_content

if TYPE_CHECKING:
    from torch import nn


def get_model(
    model: str | Path,
    repo: str | Path | None = None,
    nc: int | None = None,
    chip: str | None = None,
    cfg: str | Path | None = None,
) -> nn.Module:
    """The torch model of a checkpoint, a model yaml or a zoo name, in eval mode.

    It is chip-safe but for a checkpoint that was trained without SyNet: that one runs as it was
    trained, and the chip that its ``synet`` names is None.

    Parameters
    ----------
    model
        ``best.pt``, ``katana-kqvga.yaml``, ``katana-kqvga``, ``yolov8n-pose.yaml``.
    repo
        Folder of the fork that trained, or shall build, it. Default: for a checkpoint the installed
        YOLO that it names, if any; for a yaml the installed yolov5, or ultralytics for one
        without anchors.
    nc
        Number of classes, for a yaml. Default: the yaml's own.
    chip
        The chip for a yaml that names none. Default: Katana for YOLOv5's line, Sabre for
        ultralytics'.
    cfg
        The yaml that a checkpoint was built from which is a state dict, and holds no network.

    Returns
    -------
    A module with ``names`` (by class number), ``image_shape`` (height, width) and ``stride``.
    One process may get models of several chips, and stays as it was.

    Raises
    ------
    SynetError
        There is no such model, it is a TFLite file already, or it cannot be made safe for its
        chip.

    Examples
    --------
    >>> network = synet.get_model("katana-kqvga")
    >>> network.image_shape, network.synet["chip"]
    ((240, 320), 'katana')
    """
    from synet.models import forks

    if Path(model).suffix == ".tflite":
        name, _ = read_content(model)
        raise SynetError(
            f"{name} is a TFLite file already; give the .pt or yaml that it is made of"
        )
    if Path(model).suffix == ".pt":
        return forks.load_model(model, repo, cfg)
    return forks.build_model(model, repo, nc, chip)


def to_tflite_bytes(
    model: str | Path, image_shape: tuple[int, int] | None = None, repo: str | Path | None = None
) -> bytes:
    """`synet.export.convert.inspection_bytes` of a yaml, zoo name or checkpoint."""
    return inspection_bytes(*load_network(model, image_shape, repo))


def load_network(
    model: str | Path,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    chip: str | None = None,
    cfg: str | Path | None = None,
) -> tuple[nn.Module, tuple[int, int]]:
    """`get_model`, and the height and width to export it at: the model's own unless given.

    Raises
    ------
    SynetError
        There is no such model, or nobody says its image shape.
    """
    network = get_model(model, repo, chip=chip, cfg=cfg)
    shape = image_shape or network.image_shape
    if shape is None:
        raise SynetError(
            f"{model}: says nothing of its image shape; give --image-shape HEIGHT WIDTH"
        )
    return network, tuple(shape)
