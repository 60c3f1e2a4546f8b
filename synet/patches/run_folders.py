"""The folder that a training writes to when it goes on from a checkpoint.

The options in a checkpoint, or in a yaml beside it, say where its run was. Of a stranger's they
could say any folder of the user's; so a run stays where it lies, or where the user works.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from synet.checkpoints.read import TRUST
from synet.patches.data_downloads import options_of
from synet.system.errors import SynetError
from synet.system.text import shown
from synet.system.yaml_files import read_yaml

WEIGHTS = "weights"  # folder of a run that its checkpoints lie in
FOLDER = "save_dir"
# Where the yolov5 package sends what it has trained, and what it was trained on; and an evolution,
# which a bucket belongs to, is no training that goes on.
_REMOTE = (
    *("bucket", "s3_upload_dir", "upload_dataset", "hf_model_id", "hf_dataset_id"),
    *("roboflow_upload", "evolve"),
)


def with_own_folder(content: Any, file: Any) -> Any:
    """A checkpoint that has just been read, whose run writes where it lies or the user works.

    A run that names a folder elsewhere is given its own, where the checkpoint lies in ``weights``
    of it; else a new one, below ``runs``.

    Parameters
    ----------
    content
        What ``torch.load`` gave; changed in place.
    file
        What it was read from.
    """
    if os.environ.get(TRUST) == "1":
        return content
    path = _path_of(file)
    for options in options_of(content):
        folder, project, name = (options.get(key) for key in (FOLDER, "project", "name"))
        if folder is not None and not _is_near(folder, path):
            options[FOLDER] = str(_run_of(path) or Path("runs", f"resumed-{path.stem}"))
        parts = [str(part) for part in (project, name) if part is not None]
        if not (_is_near(Path(*parts), path) or _begins_run(parts, path)):
            options |= {"project": "runs", "name": "resumed"}
        options |= {key: None for key in _REMOTE if key in options}
    return content


def check_options_beside(weights: str | Path) -> None:
    """Look at the yaml that YOLOv5 takes the options from when it goes on from `weights`.

    Raises
    ------
    SynetError
        It names a folder that is neither the run's own nor below the one that the user works in.
    """
    path = Path(weights)
    run = _run_of(path)
    if run is None or not (run / "opt.yaml").is_file() or os.environ.get(TRUST) == "1":
        return
    file = run / "opt.yaml"
    options = read_yaml(file)
    folder = options.get(FOLDER) if isinstance(options, dict) else None
    if folder is not None and not _is_near(folder, path):
        raise SynetError(
            f"{file}: {FOLDER}: {shown(folder)}: a run that goes on writes to its own folder, or "
            f"below the one that you work in; put {run} there"
        )


def _is_near(place: Any, file: Path) -> bool:
    """Is this the folder of the run that `file` belongs to, or one where the user works?"""
    if not isinstance(place, (str, Path)) or "\0" in str(place):
        return False
    whole, run = _real(place), _run_of(file)
    return whole.is_relative_to(_real(os.curdir)) or (run is not None and whole == _real(run))


def _begins_run(parts: list[str], file: Path) -> bool:
    """Are these what the run that `file` belongs to was called, before it was given a number?"""
    run = _run_of(file)
    if run is None or len(parts) < 2 or not parts[1]:
        return False
    return _real(parts[0]) == _real(run.parent) and run.name.startswith(parts[1])


def _run_of(file: Path) -> Path | None:
    """The run that a checkpoint belongs to by where it lies."""
    place = Path(os.path.abspath(file)).parent
    return place.parent if place.name == WEIGHTS else None


def _path_of(file: Any) -> Path:
    """Where what ``torch.load`` was given lies; of a stream that has no name, here."""
    if not isinstance(file, (str, os.PathLike)):
        file = getattr(file, "name", None)
    return Path(file if isinstance(file, (str, os.PathLike)) else "checkpoint")


def _real(place: str | Path) -> Path:
    return Path(os.path.realpath(place))
