"""What a model of the zoo says of itself, which is there without building it.

Tests see to it that it is so. What has been built once is kept, by the content of its yaml and all
that builds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from synet import zoo
from synet.chips import Chip, get_chip
from synet.system.cache import recall, remembered
from synet.system.version import PACKAGE
from synet.verdict.check import kib

BUILDERS = ("torch", "tensorflow-cpu", "tensorflow", "keras", "ultralytics", "yolov5")
EXACT = "--exact builds it and counts anew"


@dataclass(frozen=True)
class Claimed:
    """A model of the zoo, as its yaml has it."""

    name: str
    definition: dict[str, Any]
    claims: zoo.Claims
    chip: Chip

    def totals(self) -> str:
        """One line, of its layers."""
        height, width = self.claims.image_shape
        return (
            f"{len(zoo.rows_of(self.definition))} rows for {height}x{width}, "
            f"{self.claims.parameters:,} parameters, {self.claims.macs / 1e6:.2f} MMAC, as its "
            f"yaml claims; {EXACT}"
        )

    def verdict(self) -> str:
        """One line, of its costs."""
        limit = kib(self.chip.activations_max_bytes)
        used = self.claims.sram_bytes or self.claims.peak_activation_bytes
        time = ""
        if self.chip.compiler:
            time = f", {1e3 * self.claims.cycles / self.chip.compiler.clock_hz:.2f} ms"
        return (
            f"fits {self.chip.name}: {used / 1024:.1f} of {limit} activations{time}, as its yaml "
            f"claims; {EXACT}"
        )


def claimed(
    model: str | Path, image_shape: tuple[int, int] | None = None, repo: str | Path | None = None
) -> Claimed | None:
    """What a model of the zoo claims; None of any other, or of one that is asked for otherwise."""
    path = Path(zoo.find_model_path(model) or "")
    if image_shape or repo or zoo.FOLDER not in path.parents:
        return None
    definition = zoo.read_definition(path)
    claims = zoo.claims(definition, path)
    return Claimed(str(model), definition, claims, get_chip(claims.chip))


def kept(kind: str, model: str | Path) -> bool:
    """Whether `built` has made this of a model of the zoo before, on this machine."""
    return recall(kind, _parts(model)) is not None


def built(kind: str, model: str | Path, make: Callable[[], bytes]) -> bytes:
    """What `make` makes of a model of the zoo, which is kept."""
    return remembered(kind, _parts(model), make)


def _parts(model: str | Path) -> list[bytes]:
    return [Path(zoo.find_model_path(model)).read_bytes(), _code(), *map(_version, BUILDERS)]


@cache
def _code() -> bytes:
    """A digest of SyNet itself."""
    found = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        found.update(file.read_bytes())
    return found.digest()


def _version(package: str) -> bytes:
    try:
        return f"{package} {metadata.version(package)}".encode()
    except metadata.PackageNotFoundError:
        return b""
