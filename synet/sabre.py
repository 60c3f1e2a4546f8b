"""The layers that Sabre runs: all that there are (`chips/sabre.yaml` says why)."""

from synet.layers import *  # noqa: F403
from synet.layers import __all__ as __all__
