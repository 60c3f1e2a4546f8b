"""Variables of the environment that processes of SyNet tell each other by."""

from __future__ import annotations

SETTINGS = "SYNET_RUN"
# A file that a process wrote for the ranks that it starts; they may load it as it is.
HANDED_OVER = "SYNET_HANDED_OVER"
