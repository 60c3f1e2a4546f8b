"""What each chip can run, read from a yaml file per chip, and the check of a model against it."""

from synet.chips.record import Chip, OpRule, chips, get_chip, read_chip
from synet.verdict.check import Violation, violations

__all__ = ["Chip", "OpRule", "Violation", "chips", "get_chip", "read_chip", "violations"]
