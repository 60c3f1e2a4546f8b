"""Heads of any YOLO, told by what they have, in the form that a chip runs."""

from synet.layers.heads.find import find_head, head_form, needed_rows, run_network, stand_ins
from synet.layers.heads.form import PIXELS, HeadForm

__all__ = [
    "PIXELS",
    "HeadForm",
    "find_head",
    "head_form",
    "needed_rows",
    "run_network",
    "stand_ins",
]
