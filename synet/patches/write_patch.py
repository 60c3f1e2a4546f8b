"""Writing a patch for a fork that is not recognised: the template, filled in from its source."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synet.patches.survey import Defined, Survey, survey
from synet.system.errors import SynetError
from synet.system.files import write_atomic

TEMPLATE = Path(__file__).with_name("custom_template.py")
PATCH_FILE = "synet_patch.py"  # its name in a fork, by which loading a checkpoint finds it


@dataclass(frozen=True)
class Draft:
    """A patch that was written: where, and what is still to be filled in."""

    path: Path
    gaps: tuple[str, ...]
    script: Path | None


def write_patch(root: str | Path) -> Draft:
    """Write ``synet_patch.py`` into the folder of a fork.

    Raises
    ------
    SynetError
        There is no such folder, there is one already, or the fork builds its networks
        without rows of a yaml, so that there are no names to swap.
    """
    root = Path(root)
    if not root.is_dir():
        raise SynetError(f"{root}: no such folder")
    found = survey(root.resolve())
    if not found.builders:
        raise SynetError(_without_builder(root, found))
    path = _home(root, found) / PATCH_FILE
    if os.path.lexists(path):
        raise SynetError(f"{path} exists; move it, or go on with it")
    builder = found.builders[0]
    pair = builder.parameters[:2]
    lines, gaps = TEMPLATE.read_text(encoding="utf-8").splitlines(), []
    values: dict[str, tuple[object, Sequence[Defined], str]] = {
        "BUILDER": (builder.name, found.builders, ""),
        "PARAMETERS": (pair, [builder], "" if len(pair) == 2 else "it has too few parameters"),
        "CONV": _pick(found.convolutions, "Conv", "no class of a convolution and batch norm found"),
        "CONCAT": _pick(found.joins, "Concat", ""),
        "HEAD": _pick(found.heads, "Detect", "no class that looks like a detection head found"),
    }
    for name, (value, places, problem) in values.items():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[at : at + 1] = [*_comments(places, problem), f"{name} = {_literal(value)}"]
        if problem:
            gaps.append(f"{name}: {problem}")
    if not found.models:
        gaps.append(f"no class calls {builder.name}: the model is built in a function")
    write_atomic(path, "\n".join(lines) + "\n")
    script = found.scripts[0].file if found.scripts else None
    return Draft(path, tuple(gaps), root / script if script else None)


def _home(root: Path, found: Survey) -> Path:
    """The folder from which a fork's scripts import: where the training script lies."""
    return root / found.scripts[0].file.parent if found.scripts else root


def _pick(
    places: Sequence[Defined], usual: str, problem: str
) -> tuple[str, Sequence[Defined], str]:
    named = [place for place in places if place.name == usual] or list(places)
    return (named[0].name, named, "") if named else (usual, [], problem)


def _comments(places: Sequence[Defined], problem: str) -> list[str]:
    if problem:
        return [f"# GAP: {problem}."]
    seen = [f"{place.name}({', '.join(place.parameters)}) in {place}" for place in places]
    return [f"# Found: {line}" for line in seen[:3]]


def _literal(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    return json.dumps(value)


def _without_builder(root: Path, found: Survey) -> str:
    places = ", ".join(f"{network.name} in {network}" for network in found.networks[:3])
    return (
        f"{root}: no function makes layers of the rows of a yaml, so there are no names to swap; "
        f"make the network safe once it is built, with synet.make_safe(model, chip)"
        f"{f' (see {places})' if places else ''}"
    )
