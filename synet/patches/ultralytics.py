"""What SyNet patches in the ultralytics line: YOLOv8 and later, and their forks.

Its ``parse_model`` has a third parameter, ``verbose``, and looks names up in ``globals()``;
its yaml files are found by ``check_yaml`` alone, with the model's scale in their names.
"""

from __future__ import annotations

from synet.patches.engine import Family, Wrap
from synet.patches.parse_model import wrap_model_init, wrap_parse_model
from synet.patches.yolov5 import ADDITIONS, SWAPS, wrap_check_file

FAMILY = Family(
    name="ultralytics",
    swaps=SWAPS,
    additions=ADDITIONS,
    parse_model=wrap_parse_model,
    model_init=wrap_model_init,
    options=("verbose",),
    functions=(Wrap("check_yaml", wrap_check_file), Wrap("check_file", wrap_check_file)),
)
