"""The part of ``pkg_resources`` that YOLOs use, made of ``packaging`` and ``importlib``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator
from typing import Any

from packaging.requirements import Requirement as Packaged
from packaging.utils import canonicalize_name
from packaging.version import Version
from packaging.version import parse as parse_version

__all__ = [
    "Distribution",
    "DistributionNotFound",
    "Requirement",
    "ResolutionError",
    "VersionConflict",
    "fixup_namespace_packages",
    "get_distribution",
    "parse_requirements",
    "parse_version",
    "require",
]


class ResolutionError(Exception):
    """A requirement that is not met; `req` says which."""

    def __init__(self, req: Requirement, dist: Distribution | None = None) -> None:
        found = f"{dist.project_name} {dist.version} is installed" if dist else "not installed"
        super().__init__(f"{req}: {found}")
        self.req, self.dist = req, dist

    def report(self) -> str:
        return str(self)


class DistributionNotFound(ResolutionError):
    """The package is not installed."""


class VersionConflict(ResolutionError):
    """The package is installed in another version."""


class Requirement(Packaged):
    @classmethod
    def parse(cls, line: str) -> Requirement:
        return cls(line)

    @property
    def project_name(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        return canonicalize_name(self.name)

    @property
    def specs(self) -> list[tuple[str, str]]:
        return [(one.operator, one.version) for one in self.specifier]


class Distribution:
    def __init__(self, name: str) -> None:
        self.project_name = name
        try:
            self.version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise DistributionNotFound(Requirement(name)) from None

    @property
    def key(self) -> str:
        return canonicalize_name(self.project_name)

    @property
    def parsed_version(self) -> Version:
        return parse_version(self.version)


def parse_requirements(lines: str | Iterable[str]) -> Iterator[Requirement]:
    return map(Requirement, requirement_lines(lines))


def get_distribution(requirement: str | Requirement) -> Distribution:
    return require(str(requirement))[0]


def require(*requirements: Any) -> list[Distribution]:
    found = []
    for requirement in parse_requirements(flat(requirements)):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            distribution = Distribution(requirement.name)
        except DistributionNotFound:
            raise DistributionNotFound(requirement) from None
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            raise VersionConflict(requirement, distribution)
        found.append(distribution)
    return found


def fixup_namespace_packages(path: str) -> None:
    """Nothing: pytest asks for it of whatever is called pkg_resources."""


def requirement_lines(lines: str | Iterable[str]) -> Iterator[str]:
    """The requirements in a requirements.txt (text or lines), without comments and options."""
    for line in lines.splitlines() if isinstance(lines, str) else lines:
        line = line.partition(" #")[0].strip()
        if line and not line.startswith(("#", "-")):
            yield line


def flat(items: Any) -> Iterator[str]:
    if isinstance(items, (list, tuple, set)):
        for item in items:
            yield from flat(item)
    else:
        yield str(items)
