"""What each chip can run, read from a yaml file per chip."""

from synet.chips.known import add_chip, chip_for_images, chips, get_chip
from synet.chips.read import read_chip
from synet.chips.record import Chip, OpRule

__all__ = ["Chip", "OpRule", "add_chip", "chip_for_images", "chips", "get_chip", "read_chip"]
