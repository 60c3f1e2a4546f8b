"""What each chip can run, read from a yaml file per chip, and the check of a model against it."""

from synet.chips.check import Violation, violations
from synet.chips.record import Chip, OpRule, chips, get_chip, read_chip

__all__ = ["Chip", "OpRule", "Violation", "chips", "get_chip", "read_chip", "violations"]
