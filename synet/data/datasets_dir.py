"""Where ultralytics keeps data sets, and the data yamls that it brings along."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

LARGEST = 2**20  # bytes of its settings, which are a few hundred
YAMLS = (".yaml", ".yml")


def find_yaml(data: str | Path) -> Path:
    """The data yaml that a name stands for: a file, a folder with one in it, or ultralytics' own.

    ``coco8`` and ``coco8.yaml`` are the yaml of that name of the installed ultralytics, where no
    such file is here. What is not found stays as it is.
    """
    path = Path(data)
    if path.is_dir():
        return _yaml_in(path) or path
    if path.is_file() or path.name != str(data):
        return path
    beside = (path.with_suffix(suffix) for suffix in YAMLS if not path.suffix)
    stock = (folder / f"{path.stem}.yaml" for folder in _stock_folders())
    known = not path.suffix or path.suffix in YAMLS
    return next((each for each in (*beside, *stock) if known and each.is_file()), path)


def is_stock(yaml: Path) -> bool:
    """Does ultralytics bring this data yaml along?"""
    return yaml.parent in _stock_folders()


def datasets_dir() -> Path | None:
    """The folder in which ultralytics looks for data sets, as its settings say; None without."""
    for folder in _settings_folders():
        try:
            with open(folder / "settings.json", encoding="utf-8") as file:
                place = json.loads(file.read(LARGEST)).get("datasets_dir")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(place, str) and place:
            return Path(place)
    return None


def _yaml_in(folder: Path) -> Path | None:
    """The only yaml of a folder, or the one that is called as the folder is."""
    found = next(filter(None, (sorted(folder.glob(f"*{suffix}")) for suffix in YAMLS)), [])
    if len(found) > 1:
        found = [each for each in found if each.stem == folder.name]
    return found[0] if len(found) == 1 else None


def _stock_folders() -> Iterator[Path]:
    spec = find_spec("ultralytics")
    for place in (spec and spec.submodule_search_locations) or ():
        yield Path(place) / "cfg" / "datasets"


def _settings_folders() -> Iterator[Path]:
    """Where ultralytics looks for its settings; the last where the home cannot be written to."""
    home = Path(os.path.expanduser("~"))  # a home that is not there is no error
    config = {
        "win32": home / "AppData" / "Roaming",
        "darwin": home / "Library" / "Application Support",
    }.get(sys.platform) or Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    yield Path(os.path.expanduser(os.environ.get("YOLO_CONFIG_DIR") or config)) / "Ultralytics"
    if hasattr(os, "getuid"):
        private = Path(tempfile.gettempdir()) / f"Ultralytics-{os.getuid()}"
        if private.is_dir() and private.stat().st_uid == os.getuid():
            yield private
