"""What the models of a patched process are built for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A chip, or none; made by `only`, `own` and `only_or_own`, or `REPAIRS_ALONE`.

    Parameters
    ----------
    chip
        For models that name none; None where layers are left as they are.
    fixed
        Are models that name another chip refused?
    """

    chip: str | None
    fixed: bool = False

    def __str__(self) -> str:
        return self.chip or "repairs alone"

    def excludes(self, other: Target) -> bool:
        """Can what is patched for the one not be patched for the other as well?"""
        fixed = self.fixed and other.fixed
        return self.chip != other.chip and (fixed or None in (self.chip, other.chip))


# Old code is mended, and its layers are left alone.
REPAIRS_ALONE = Target(None)


def only(chip: str) -> Target:
    """Models for one chip alone.

    Raises
    ------
    ChipError
        There is no such chip.
    """
    from synet.chips import get_chip

    return Target(get_chip(chip).name, fixed=True)


def own(default: str) -> Target:
    """Each model for the chip that it names itself, and for `default` where it names none.

    Raises
    ------
    ChipError
        There is no such chip.
    """
    from synet.chips import get_chip

    return Target(get_chip(default).name)


def only_or_own(chip: str | None, default: str) -> Target:
    """`only` the chip that was asked for; where none was, each model's `own`.

    Raises
    ------
    ChipError
        There is no such chip.
    """
    return own(default) if chip is None else only(chip)
