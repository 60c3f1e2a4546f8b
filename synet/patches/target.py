"""What the models of a patched process are built for."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Target:
    """A chip, or none; made by `only`, `own` and `only_or_own`, or `REPAIRS_ALONE`.

    Parameters
    ----------
    chip
        For models that name none; None where layers are left as they are.
    fixed
        Are models that name another chip refused?
    activation
        The one to build with, whatever a model says. None: the model's, else the chip's own.
    """

    chip: str | None
    fixed: bool = False
    activation: str | None = None

    def __str__(self) -> str:
        chip = self.chip or "repairs alone"
        return f"{chip} with {self.activation}" if self.activation else chip

    def excludes(self, other: Target) -> bool:
        """Can what is patched for the one not be patched for the other as well?"""
        fixed = self.fixed and other.fixed
        if self.chip != other.chip and (fixed or None in (self.chip, other.chip)):
            return True
        return fixed and other.activation not in (None, self.activation)


# Old code is mended, and its layers are left alone.
REPAIRS_ALONE = Target(None)


def only(chip: str, activation: str | None = None) -> Target:
    """Models for one chip alone.

    Raises
    ------
    ChipError
        There is no such chip, or it has no such activation.
    """
    return replace(own(chip, activation), fixed=True)


def own(default: str, activation: str | None = None) -> Target:
    """Each model for the chip that it names itself, and for `default` where it names none.

    Raises
    ------
    ChipError
        There is no such chip, or it has no such activation.
    """
    from synet.chips import get_chip

    chip = get_chip(default).with_activation(activation)
    return Target(chip.name, activation=activation)


def only_or_own(chip: str | None, default: str, activation: str | None = None) -> Target:
    """`only` the chip that was asked for; where none was, each model's `own`.

    Raises
    ------
    ChipError
        There is no such chip, or it has no such activation.
    """
    return own(default, activation) if chip is None else only(chip, activation)
