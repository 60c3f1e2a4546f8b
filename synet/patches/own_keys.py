"""Keys of a model definition that one fork alone knows, for models written for any YOLO.

A fork for keypoints may read ``d["nkpt"]`` in its builder, and its own yamls all have that. A
model of the zoo has not, and needs what they say.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from synet.patches.declaration import Fork
from synet.system.errors import PatchError, SynetError
from synet.system.files import lies_within
from synet.system.text import shown
from synet.system.yaml_files import read_yaml
from synet.zoo import PARTS

LOGGER = logging.getLogger("synet")

# What every YOLO reads, and what is the model's own: no other model can lend it.
EVERYWHERE = {*PARTS, "nc", "ch", "anchors", "depth_multiple", "width_multiple", "scales"}


class MissingKey(PatchError, KeyError):
    """A definition lacks what the fork reads; a `KeyError`, too, for forks that expect one."""


class ModelDefinition(dict):
    """A definition that has the keys which all yamls of the fork that know them agree about.

    It is copied as itself, and goes into a checkpoint as a plain dictionary.
    """

    def __init__(self, content: Mapping[str, Any], fork: Fork, path: str) -> None:
        super().__init__(content)
        self.fork, self.path = fork, path

    def __missing__(self, key: Any) -> Any:
        values = {} if key in EVERYWHERE else _known(self.fork.root, key)
        first = next(iter(values), None)
        if first is None or any(value != values[first] for value in values.values()):
            raise missing_key(self.path, key, sys._getframe(1), values)
        LOGGER.warning(
            "%s has no %s, and is built with %s as in %s", self.path, key, values[first], first
        )
        self[key] = copy.deepcopy(values[first])
        return self[key]

    def __deepcopy__(self, memo: dict) -> ModelDefinition:
        return ModelDefinition(copy.deepcopy(dict(self), memo), self.fork, self.path)

    def __reduce_ex__(self, _: Any) -> tuple:
        return dict, (dict(self),)


def missing_key(
    path: str, key: Any, frame: FrameType, values: Mapping[Path, Any] | None = None
) -> MissingKey:
    """What to say of a key that a definition lacks.

    Parameters
    ----------
    path
        The definition's.
    frame
        Where it is read.
    values
        What yamls of the fork have there.
    """
    if key in PARTS:
        return MissingKey(f"{path}: no {key!r}, a list of layers")
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    examples = [f"{key}: {shown(value)} as in {file}" for file, value in (values or {}).items()]
    examples = " or ".join(dict.fromkeys(examples[:1] + examples[-1:])) or f"{key}: VALUE"
    return MissingKey(f"{path}: no {key!r}, which {place} reads; write {examples}")


def missing_in(
    error: KeyError, definition: Mapping[str, Any], fork: Fork, path: str
) -> MissingKey | None:
    """The `MissingKey` for a fork's bare ``KeyError``; None where it is about something else."""
    frames = [frame for frame, _ in _walk(error.__traceback__)]
    key = error.args[0] if error.args else None
    of_fork = frames and lies_within(Path(frames[-1].f_code.co_filename).resolve(), fork.root)
    if not of_fork or not isinstance(key, str) or key in definition:
        return None
    return missing_key(path, key, frames[-1], _known(fork.root, key))


def _walk(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _known(root: Path, key: str) -> dict[Path, Any]:
    """What the model yamls of a fork have under a key, by file."""
    found = {}
    for file in sorted(root.rglob("*.yaml")):
        if not lies_within(file, root):
            continue
        try:
            content = read_yaml(file)
        except SynetError:
            continue  # another kind of file
        if isinstance(content, dict) and {"backbone", "head"} <= content.keys() and key in content:
            found[file] = content[key]
    return found
