"""An environment that has what ``pip install 'synet[export]'`` brings, and nothing else."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def brought(name: str, extras: tuple[str, ...] = ()) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that pip installs for a requirement, by their names."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked, waiting = set(), [(name, frozenset(extras))]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in asked:
            continue
        asked.add((name, extras))
        distribution = importlib.metadata.distribution(name)
        found[canonicalize_name(name)] = distribution
        for requirement in map(Requirement, distribution.requires or ()):
            marker = requirement.marker
            if not marker or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def write(folder: Path, *extras: str) -> Path:
    """Make such an environment, of links to the files of this one; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name, distribution in brought("synet", extras).items():
        if name == "synet":  # as pip install -e does
            (packages / "synet.pth").write_text(f"{ROOT}\n")
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            source = Path(str(distribution.locate_file(top)))
            if top != "__pycache__" and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return folder / "bin" / "python"


def run(python: Path, *command: str | Path, cwd: Path, status: int = 0) -> str:
    """Run that Python; its output, both streams."""
    kept = {k: v for k, v in os.environ.items() if k not in ("SYNET_RUN", "PYTHONPATH")}
    done = subprocess.run(
        [python, *map(str, command)],
        cwd=cwd,
        env=kept | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout[-4000:]
    return done.stdout


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), *sys.argv[2:]))
