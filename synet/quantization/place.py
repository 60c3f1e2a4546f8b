"""Where a file goes, and what is lost to it."""

from __future__ import annotations

from pathlib import Path

from synet.system.errors import SynetError
from synet.system.files import refuse_foreign
from synet.tflite.metadata import is_random, read_metadata


def place_of(
    model: Path, data: str | Path | None, random: bool, out_path: str | Path | None
) -> Path:
    """Where the file of a model goes, once it is clear which images it is calibrated on.

    Parameters
    ----------
    model
        A ``.pt`` checkpoint, which needs `data` or `random`; a model yaml or a name from the zoo.
    data
        The data set to calibrate on.
    random
        Calibrate on random images, for a file that is looked at and not used.
    out_path
        Default: beside a checkpoint, ``.tflite`` in place of ``.pt``, or ``-random.tflite``;
        ``model.tflite`` in the working directory for a yaml. A file there is replaced only if
        SyNet made it, and one of real images not by one of random images.

    Raises
    ------
    SynetError
        Both kinds of images are given, or a checkpoint has none.
    """
    trained = model.suffix == ".pt"
    if random and data is not None:
        raise SynetError(f"give one of --data {data} and --random")
    name = f"{model.stem}-random.tflite" if random else f"{model.stem}.tflite"
    if trained and data is None and not random and model.is_file():
        raise SynetError(
            f"{model}: a trained model is calibrated on images; give them with --data YAML, or "
            f"--random for {model.stem}-random.tflite, which is good to look at only"
        )
    return Path(out_path or (model.with_name(name) if trained else "model.tflite"))


def refuse_loss(path: Path, random: bool) -> None:
    """Refuse to replace what SyNet did not make, or a file of real images by one of random ones."""
    refuse_foreign(path, _is_ours)
    if random and path.is_file() and not is_random(read_metadata(path)):
        raise SynetError(
            f"{path} was calibrated on images, and this one would be on random ones; give --data "
            f"YAML, or another file with --out"
        )


def _is_ours(path: Path) -> bool:
    try:
        return str(read_metadata(path).get("producer", "")).startswith("synet")
    except SynetError:
        return False
