"""What a network is lowered in: for which chip, and with which kit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from synet.chips import Chip, OpRule
from synet.chips.known import common_operations, common_spelling
from synet.chips.record import Spelling
from synet.system.errors import ExportError

PADDING = "pad"  # of an image, for the convolution that follows


class Context(ABC):
    """What lowerings ask, whether they build with Keras or on shapes alone.

    Attributes
    ----------
    chip
        Whose operations are built; None where the network is for no chip.
    dilated
        Images that a dilated convolution has looked at, by their ids and the dilation.
    """

    def __init__(self, chip: Chip | None) -> None:
        self.chip = chip
        self.dilated: dict[tuple[int, tuple[int, int]], Any] = {}

    def rule_of(self, operation: str) -> OpRule | None:
        """The limits of an operation on the chip; None if it does not have it.

        Without a chip, the operations count that all have, and no limits.
        """
        if self.chip is None:
            return OpRule() if operation in common_operations() else None
        return self.chip.ops.get(operation)

    @property
    def spelling(self) -> Spelling:
        """How far to go where one operation is built of others."""
        return common_spelling() if self.chip is None else self.chip.spelling

    @property
    @abstractmethod
    def kit(self) -> Any:
        """Keras, or what stands in for it where shapes are all that is asked for."""

    @abstractmethod
    def layer_name(self, function: str) -> str:
        """A name for the layer that answers `function` in the running module."""

    @abstractmethod
    def tell(self, now: str, why: str) -> None:
        """Hear what a function is exported as that costs more than it seems to, and why."""

    @abstractmethod
    def refusal(self, text: str) -> ExportError:
        """An error that says where the network is, if that is known."""
