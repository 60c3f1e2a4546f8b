"""Another spelling of `synet.sabre`."""

from synet.sabre import *  # noqa: F403
from synet.sabre import __all__ as __all__
