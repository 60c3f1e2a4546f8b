"""A fork's command line, completed before the fork parses it.

Forks look for a model yaml in their own folders before any function that could be wrapped
runs, fetch pretrained weights from the network unless told otherwise, and, the older ones,
read a data yaml in a form of years ago.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from synet import zoo
from synet.data.datasets_dir import YAMLS
from synet.patches.declaration import DEFAULT_CHIP
from synet.system import cache
from synet.system.errors import SynetError

LOGGER = logging.getLogger("synet")

IMAGE_SIZE = ("--img", "--imgsz", "--img-size", "--img_size")
MODEL = ("--cfg", "--conf", "--config", "--model")
_CHECK_DATASET = re.compile(r"^def check_(det_)?dataset\(.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def completed(arguments: list[str], root: Path | None = None) -> list[str]:
    """Arguments of a training script with the names of zoo models made into files.

    Where the model yaml states its image shape, that is the image size if none was given; where
    ``--weights`` was not given, training starts from scratch, as no published weights fit a
    zoo model. A data yaml that the fork cannot read as it is becomes a resolved copy of it.
    Anything else stays as it was typed.

    Parameters
    ----------
    arguments
        ``sys.argv[1:]``.
    root
        Folder of the fork, to see what its reading of data yamls knows.

    Raises
    ------
    SynetError
        A training that is to go on would write to a folder of somebody else's choice.
    """
    arguments = list(arguments)
    for at, argument in enumerate(arguments):
        option, equals, name = argument.rpartition("=")
        if name.endswith(".yaml") or (at and arguments[at - 1] in MODEL) or option in MODEL:
            arguments[at] = f"{option}{equals}{zoo.find_model_path(name)}"
    if root is not None:
        _resolve_data(arguments, root)
    at = value_at(arguments, "--resume")
    if at is not None:
        from synet.patches.run_folders import check_options_beside

        check_options_beside(arguments[at].removeprefix("--resume="))
    at = value_at(arguments, "--cfg")
    path = arguments[at].removeprefix("--cfg=") if at is not None else ""
    shape = zoo.claims(zoo.read_definition(path), path).image_shape if _is_yaml(path) else None
    if shape is None:
        return arguments
    if not any(_given(arguments, option) for option in IMAGE_SIZE):
        arguments += ["--img", ",".join(map(str, shape))]
    if not any(_given(arguments, option) for option in ("--weights", "--resume", "--evolve")):
        arguments += ["--weights", ""]
    return arguments


def chip_of(arguments: list[str]) -> str:
    """The chip that the model yaml behind ``--cfg`` is made for, else Katana."""
    at = value_at(arguments, "--cfg")
    path = None if at is None else zoo.find_model_path(arguments[at].removeprefix("--cfg="))
    if not path or not Path(path).is_file():
        return DEFAULT_CHIP
    return zoo.claims(zoo.read_definition(path), path).chip or DEFAULT_CHIP


def weights_of(arguments: list[str]) -> str:
    """The checkpoint that a training starts from, as ``--weights`` names it; else empty."""
    at = value_at(arguments, "--weights")
    return "" if at is None else arguments[at].removeprefix("--weights=")


def _resolve_data(arguments: list[str], root: Path) -> None:
    """Put a copy that every fork can read in place of a data yaml that this one cannot."""
    at = value_at(arguments, "--data")
    path = arguments[at].removeprefix("--data=") if at is not None else ""
    copy = None if not _is_yaml(path) or knows_path(root) else readable_copy(path)
    if copy is not None:
        LOGGER.warning(
            "%s is handed to the fork as %s, which forks of its age can read", path, copy
        )
        arguments[at] = arguments[at].removesuffix(path) + str(copy)


def readable_copy(path: str | Path) -> Path | None:
    """A copy of a data yaml in which the folders are written out; None where they are not here."""
    from synet.data.yolo_yaml import load_dataset, resolved_yaml

    try:
        dataset = load_dataset(path)
    except SynetError:
        return None  # a form of the fork's own
    sources = [place for split in dataset.sources.values() for place in split]
    if not all(place.exists() for place in sources):
        return None  # written for the folder that the fork is started in
    whole = Path(path).resolve()
    name = hashlib.sha256(bytes(whole) + whole.read_bytes()).hexdigest()[:12]
    return resolved_yaml(path, _copies() / f"{Path(path).stem}-{name}.yaml")


def _copies() -> Path:
    """Where copies are kept for runs that are resumed; where no cache can be, a new folder."""
    with suppress(SynetError):
        folder = cache.private_folder("data")
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="synet-data-"))


def knows_path(root: Path) -> bool:
    """Does a fork know the key ``path`` of a data yaml, which YOLOv5 has had since v6.0?

    Told by its source, as the fork has not been imported when its arguments are needed.
    """
    folders = [root]
    for name in ("utils", "data"):
        folders += [root / name, *root.glob(f"*/{name}"), *root.glob(f"*/*/{name}")]
    for file in [file for folder in folders for file in sorted(folder.glob("*.py"))]:
        found = _CHECK_DATASET.search(file.read_text(encoding="utf-8", errors="replace"))
        if found and re.search(r"""['"]path['"]""", found[0]):
            return True
    return False


def _is_yaml(path: str) -> bool:
    return Path(path).suffix in YAMLS and Path(path).is_file()


def _given(arguments: list[str], option: str) -> bool:
    return any(a == option or a.startswith(f"{option}=") for a in arguments)


def value_at(arguments: list[str], option: str) -> int | None:
    """Index of the argument that holds an option's value."""
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return i
        if argument == option and i + 1 < len(arguments):
            return i + 1
    return None
