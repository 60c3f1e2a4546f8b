"""The chips there are by name: those that come with SyNet, and those of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from synet.chips.read import nearest, read_chip
from synet.chips.record import Chip, Spelling
from synet.system.errors import ChipError

OWN = "SYNET_CHIPS"  # names chip files of one's own, as PATH names folders
FOLDER = Path(__file__).resolve().parent


def chips() -> tuple[str, ...]:
    """The names of all chips that SyNet knows."""
    return tuple(sorted({path.stem for path in (*_shipped(), *_own())}))


def get_chip(name: str) -> Chip:
    """The chip of that name.

    Raises
    ------
    ChipError
        There is none, the message names those there are; or two files claim the name.
    """
    found = list(dict.fromkeys(path for path in (*_shipped(), *_own()) if path.stem == name))
    if not found and name.endswith(".yaml"):
        raise ChipError(f"{name}: no such file; a chip is named, or its yaml is given")
    if not found:
        known = nearest(name, chips())
        raise ChipError(f"no chip is named {name!r}{known}; or give the path of a chip's yaml")
    if len(found) > 1:
        raise ChipError(f"{found[-1]}: {found[0]} is the chip {name}; give yours another name")
    return _read(found[0], found[0].stat().st_mtime_ns if found[0].exists() else 0)


def add_chip(path: str | Path) -> str:
    """Let this process, and those that it starts, know the chip of a file.

    Parameters
    ----------
    path
        A yaml like those that come with SyNet; its stem is the chip's name.

    Returns
    -------
    The name, for `get_chip` and wherever a chip is named.
    """
    path = Path(path).resolve()
    if path not in _own():
        os.environ[OWN] = os.pathsep.join(map(str, (*_own(), path)))
    return path.stem


def chip_for_images(channels: int) -> Chip:
    """The chip where nobody names one: that of the simplest camera that has so many channels.

    Of a camera that no default chip has, the one with the most.
    """
    defaults = (chip for chip in map(get_chip, chips()) if chip.is_default)
    cameras = sorted(defaults, key=lambda chip: chip.image_channels)
    return next((chip for chip in cameras if chip.image_channels >= channels), cameras[-1])


@cache
def common_operations() -> frozenset[str]:
    """The operations that every chip has which comes with SyNet."""
    return frozenset.intersection(*(frozenset(read_chip(path).ops) for path in _shipped()))


@cache
def common_spelling() -> Spelling:
    """The spelling that suits every chip which comes with SyNet."""
    all_of_them = [vars(read_chip(path).spelling) for path in _shipped()]
    return Spelling(**{key: min(each[key] for each in all_of_them) for key in all_of_them[0]})


_read = cache(lambda path, changed_ns: read_chip(path))


def _shipped() -> Iterator[Path]:
    return FOLDER.glob("*.yaml")


def _own() -> list[Path]:
    return [Path(each).resolve() for each in os.environ.get(OWN, "").split(os.pathsep) if each]
