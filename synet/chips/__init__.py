"""What each chip can run, read from a yaml file per chip."""

from synet.chips.record import Chip, OpRule, chips, get_chip, read_chip

__all__ = ["Chip", "OpRule", "chips", "get_chip", "read_chip"]
