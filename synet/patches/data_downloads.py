"""The ``download:`` of a data yaml, and the data that a checkpoint names.

Where the images of a data yaml are missing, YOLOs run what it has under ``download:`` as Python or
in a shell, unless it is the address of an archive. A stranger's yaml gets no further than that
address; and a checkpoint, which names the data that it was trained on, may name no address.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synet.data.datasets_dir import YAMLS
from synet.patches.parse_model import reason
from synet.system.errors import DataError, SynetError
from synet.system.files import lies_within
from synet.system.text import shown
from synet.system.yaml_files import read_yaml

TRUST = "SYNET_TRUST_DATA"

# Nothing that a shell, which old forks give the name of the archive to, takes for its own.
_ARCHIVE = re.compile(r"https?://[\w.~:/%@+=,-]+\.(zip|tar|gz|tgz|xz|bz2|txz|tbz2)", re.ASCII)
# Folders of a YOLO in which data yamls of its own lie, whose scripts are the user's own code.
_OWN_FOLDERS = {"cfg", "data", "datasets"}
_NOT_USED = "data-not-used-"
# What a YOLO has published images to classify under, or a folder where it keeps data.
_PUBLISHED = re.compile(rf"(?!{_NOT_USED})(?!.*\.\.)[\w.-]+(/[\w.-]+)*", re.ASCII)
_UNKNOWN = "unknown"  # of what is a folder, or an archive, with a data yaml in it
# Keys of a checkpoint under which a YOLO keeps the options of its training.
_OPTIONS = ("train_args", "opt")


def call_without_code(
    wrapped: Callable, bound: inspect.BoundArguments, data: Any, root: Path | None
) -> Any:
    """Call a fork's check of its data, which downloads what is missing, and have it run no code.

    Parameters
    ----------
    wrapped
        The fork's function, whose first parameter is the data.
    bound
        Its arguments.
    data
        The definition, or the file that it is read from.
    root
        Folder of the fork.

    Raises
    ------
    DataError
        The images are missing, and code would have to fetch them.
    """
    code = _code_of(data)
    if not code or os.environ.get(TRUST) == "1" or code in _own_code(root):
        return wrapped(*bound.args, **bound.kwargs)
    first = next(iter(bound.arguments))
    if "autodownload" in inspect.signature(wrapped).parameters:
        bound.arguments["autodownload"] = False
    elif isinstance(data, Mapping):
        bound.arguments[first] = {key: data[key] for key in data if key != "download"}
    else:
        raise _refusal(data, code, "this YOLO may run what it finds")
    try:
        return wrapped(*bound.args, **bound.kwargs)
    except Exception as error:  # YOLOv5 raises the bare class
        if code == _UNKNOWN:
            raise
        raise _refusal(data, code, reason(error)) from error


def call_with_plain_images(wrapped: Callable, bound: inspect.BoundArguments, data: Any) -> Any:
    """Call a fork's check of images to classify, which fetches those that are not here.

    Parameters
    ----------
    wrapped, bound
        As in `call_without_code`.
    data
        A folder, the address of an archive, or a name that the fork has published images under.

    Raises
    ------
    DataError
        It is none of these.
    """
    text = str(data)
    plain = os.path.exists(data) or _ARCHIVE.fullmatch(text) or _PUBLISHED.fullmatch(text)
    if not plain and os.environ.get(TRUST) != "1":
        raise DataError(
            f"{shown(text)}: no such folder, and no address of an archive; name a folder that has "
            f"train and val in it, with a folder of images for each class"
        )
    return wrapped(*bound.args, **bound.kwargs)


def _refusal(data: Any, code: str, why: str) -> DataError:
    title = data if isinstance(data, (str, Path)) else "data"
    return DataError(
        f"{title}: {why}; its download: is no address of an archive but {shown(code)}, which was "
        f"not run: get the images yourself, or, if you trust it, set {TRUST}=1 for one run"
    )


def _code_of(data: Any) -> str:
    """What a YOLO would run to get the images; empty where that is nothing, or an archive's."""
    if not isinstance(data, Mapping):
        try:
            data = read_yaml(data)
        except SynetError:
            return _UNKNOWN
    code = str(data.get("download") or "") if isinstance(data, Mapping) else ""
    return "" if _ARCHIVE.fullmatch(code) else code


def _own_code(root: Path | None) -> set[str]:
    """The scripts of the data yamls that a YOLO brings along, which are the user's own code."""
    return {_code_of(file) for file in _own_yamls(root)} - {_UNKNOWN}


def _own_yamls(root: Path | None) -> list[Path]:
    files = [file for suffix in YAMLS for file in root.rglob(f"*{suffix}")] if root else []
    return [f for f in files if f.parent.name in _OWN_FOLDERS and lies_within(f, root)]


def options_of(content: Any) -> Iterator[dict[str, Any]]:
    """The options of a training, wherever a checkpoint has them; to be changed in place."""
    if not isinstance(content, dict):
        return
    models = [getattr(content.get(key), "args", None) for key in ("model", "ema")]
    for options in [*(content.get(key) for key in _OPTIONS), *models]:
        options = getattr(options, "__dict__", options)  # a namespace's
        if isinstance(options, dict):
            yield options


def with_local_data(content: Any, roots: Iterable[Path]) -> Any:
    """A checkpoint that has just been read, whose options name data that is here, or none.

    Parameters
    ----------
    content
        What ``torch.load`` gave; changed in place.
    roots
        Folders of forks, whose own data yamls may be named.
    """
    if os.environ.get(TRUST) == "1":
        return content
    for options in options_of(content):
        if str(options.get("data")) not in ("", "None"):  # it may be what has no truth
            options["data"] = _local(options["data"], roots)
    return content


def _local(data: Any, roots: Iterable[Path]) -> str:
    """The data that a checkpoint names, if it is here; else words that name no place at all."""
    text = str(data)
    if isinstance(data, (str, Path)) and (os.path.isfile(data) or os.path.isdir(data)):
        return text
    name = Path(text).name
    if any(name == file.name for root in roots for file in _own_yamls(root)):
        return name
    if text.startswith(_NOT_USED):
        return text
    # A fork that is asked to use it says that there is no such file.
    return f"{_NOT_USED}{re.sub(r'[^A-Za-z0-9._]+', '-', text)[:80]}.yaml"
