"""SyNet's patch for a fork that it does not recognise by itself: a starting point.

``synet patches new FORK_DIR`` copies this file to ``FORK_DIR/synet_patch.py``, with what it has
found in the fork filled in. Correct the lines that are marked GAP. Then two lines at
the top of the training script make the fork train models that the chip runs::

    import synet_patch

    synet_patch.patch("katana")

``synet quantize --weights best.pt --repo FORK_DIR`` finds this file by its name.
"""

from __future__ import annotations

from synet.custom_patches import patch_custom
from synet.patches.declaration import Family, Swap
from synet.patches.engine import Patching
from synet.patches.parse_model import wrap_model_init, wrap_parse_model
from synet.patches.yolov5 import ADDITIONS

# The function that makes a torch.nn.Sequential of the rows [from, number, module, arguments] of a
# model yaml. It looks each module up by its name, in its own module, when it is called.
BUILDER = "parse_model"

# What it calls the content of the model yaml, and the channels of the image (or a list of them).
PARAMETERS = ("d", "ch")

# The class of a convolution, batch norm and activation, built as CONV(c1, c2, k, s, ...), under
# the name by which the builder's module knows it. It gives way to SyNet's own.
CONV = "Conv"

# The class that joins feature maps, built from a dimension alone. May be missing.
CONCAT = "Concat"

# The detection head in which models of SyNet's zoo end, built as HEAD(nc, anchors, ch) or
# HEAD(nc, ch). It is kept, and told by what it has when the trained model is exported.
HEAD = "Detect"

FAMILY = Family(
    name="custom",
    builder=BUILDER,
    parameters=PARAMETERS,
    head=HEAD,
    swaps=(
        Swap("Conv", "synet.layers.conv:Conv", called=CONV),
        Swap(
            "Concat",
            "synet.layers.basic:Cat",
            required=False,
            when="synet.patches.recognise_classes:is_concat",
            called=CONCAT,
        ),
    ),
    additions=ADDITIONS,
    parse_model=wrap_parse_model,
    model_init=wrap_model_init,
)


def patch(chip: str) -> Patching:
    """Patch this fork, and any other YOLO of the process, for a chip."""
    return patch_custom(chip, families=[FAMILY])
